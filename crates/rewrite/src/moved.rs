//! Where the definitions of a component are once others are put between them.

use wasm_encoder::{Component, ExportKind, InstanceSection, Module, ModuleArg, ModuleSection};

/// Old indices of one kind, and where they are now. `None` is what is not there yet.
#[derive(Debug, Default)]
pub struct Moved {
    places: Vec<Option<u32>>,
    count: u32,
}

impl Moved {
    /// The old index of the next one.
    pub fn next(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// Takes over the next one.
    pub fn keep(&mut self) {
        self.places.push(Some(self.count));
        self.count += 1;
    }

    /// Leaves out the next one, whose replacement is [put](Self::put) in its place later.
    pub fn withhold(&mut self) {
        self.places.push(None);
    }

    /// Adds a new one, and says where it is.
    pub fn add(&mut self) -> u32 {
        self.count += 1;
        self.count - 1
    }

    /// Puts what was added at `new` in the place of the old one at `old`.
    pub fn put(&mut self, old: u32, new: u32) {
        if let Some(place) = self.places.get_mut(old as usize) {
            *place = Some(new);
        }
    }

    /// Where the one at the old `index` is.
    pub fn get(&self, index: u32) -> Option<u32> {
        self.places.get(index as usize).copied().flatten()
    }
}

/// What a new core instance is given, by name.
pub type Given = Vec<(String, ExportKind, u32)>;

/// Defines an instance of `module`, which is `given` functions and the state of the instance `shared`.
pub fn instantiate(
    component: &mut Component,
    module: &Module,
    given: &Given,
    shared: Option<u32>,
    modules: &mut Moved,
    instances: &mut Moved,
) -> u32 {
    component.section(&ModuleSection(module));
    let module = modules.add();
    let mut section = InstanceSection::new();
    section.export_items(given.iter().map(|(name, kind, index)| (name.as_str(), *kind, *index)));
    let mut arguments = vec![("guest", ModuleArg::Instance(instances.add()))];
    arguments.extend(shared.map(|instance| ("shared", ModuleArg::Instance(instance))));
    section.instantiate(module, arguments);
    component.section(&section);
    instances.add()
}
