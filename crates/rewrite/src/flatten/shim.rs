//! Modules that only stand between an import and its value: they are recognised by their code, and dissolved.
//!
//! A *shim* has one table and functions of which each does nothing but call an entry of it with its own parameters. A
//! *fix-up* imports that table and functions, and is one list that puts these in the table's places.

use super::flat::{Flat, Item};
use crate::NotRewritable;
use crate::outline::Module;
use std::collections::HashMap;
use wasmparser::{
    ConstExpr, ElementItems, ElementKind, ExternalKind, FunctionBody, Operator, Parser, Payload, TypeRef,
};

/// Replaces every item by the one behind re-exports, shims and fix-ups, and leaves out instances that are not needed
/// any more.
///
/// # Errors
/// [`NotRewritable`], if code may run before a fix-up has filled the table.
pub fn dissolve<'a>(bytes: &'a [u8], flat: &mut Flat<'a>) -> Result<(), NotRewritable> {
    let modules: Vec<Kind> =
        flat.modules.iter().map(|module| kind(bytes, module)).collect::<Result<_, _>>()?;
    let mut behind = HashMap::new();
    reexports(flat, &mut behind);
    let dissolved = shims(flat, &modules, &behind)?;
    for (shim, fixup) in &dissolved {
        let (Kind::Shim { slots, .. }, Kind::Fixup { functions, .. }) =
            (&modules[flat.instances[*shim].module], &modules[flat.instances[*fixup].module])
        else {
            continue;
        };
        for export in &flat.modules[flat.instances[*shim].module].exports {
            let Some(slot) = slots.get(&export.index) else { continue };
            let (ExternalKind::Func, Some(import)) = (export.kind, functions.get(slot)) else { continue };
            let is = flat.instances[*fixup].imports[*import];
            behind.insert(Item::Export { instance: *shim, name: export.name }, is);
        }
    }
    flat.items().for_each(|item| *item = follow(&behind, *item));
    let gone: Vec<usize> = dissolved.into_iter().flat_map(|(shim, fixup)| [shim, fixup]).collect();
    remove(flat, &gone);
    Ok(())
}

/// The final value of `item`. The search ends, since an instance gets only earlier definitions, and a module is only
/// taken for a shim if its functions existed before it.
fn follow<'a>(behind: &HashMap<Item<'a>, Item<'a>>, item: Item<'a>) -> Item<'a> {
    let mut item = item;
    for _ in 0..=behind.len() {
        match behind.get(&item) {
            Some(next) => item = *next,
            None => break,
        }
    }
    item
}

/// Exports of core instances that are imports of theirs.
fn reexports<'a>(flat: &Flat<'a>, behind: &mut HashMap<Item<'a>, Item<'a>>) {
    for (instance, made) in flat.instances.iter().enumerate() {
        let module = &flat.modules[made.module];
        if module.exports.is_empty() || module.imports.is_empty() {
            continue;
        }
        let mut imported: HashMap<u8, Vec<Item<'a>>> = HashMap::new();
        for (import, item) in module.imports.iter().zip(&made.imports) {
            imported.entry(import.kind as u8).or_default().push(*item);
        }
        for export in &module.exports {
            let imports = imported.get(&(export.kind as u8));
            if let Some(item) = imports.and_then(|imports| imports.get(export.index as usize)) {
                behind.insert(Item::Export { instance, name: export.name }, *item);
            }
        }
    }
}

/// Pairs of a shim and its fix-up, as instances.
fn shims<'a>(
    flat: &Flat<'a>,
    modules: &[Kind],
    behind: &HashMap<Item<'a>, Item<'a>>,
) -> Result<Vec<(usize, usize)>, NotRewritable> {
    // Who is given the table of which shim.
    let mut tables: HashMap<usize, Vec<usize>> = HashMap::new();
    for (instance, made) in flat.instances.iter().enumerate() {
        for (import, item) in flat.modules[made.module].imports.iter().zip(&made.imports) {
            if let (ExternalKind::Table, Item::Export { instance: from, .. }) =
                (import.kind, follow(behind, *item))
            {
                tables.entry(from).or_default().push(instance);
            }
        }
    }
    let mut pairs = Vec::new();
    for (shim, made) in flat.instances.iter().enumerate() {
        let Kind::Shim { slots, size } = &modules[made.module] else { continue };
        let Some([fixup]) = tables.get(&shim).map(Vec::as_slice) else { continue };
        let Kind::Fixup { functions, end } = &modules[flat.instances[*fixup].module] else { continue };
        // An empty place traps when it is called, and a list that is too long when it is made.
        if *end > *size || !slots.values().all(|slot| functions.contains_key(slot)) {
            continue;
        }
        // An instance that is made later than the shim, or the shim itself, can't be handed to those before it.
        let later = functions.values().any(|import| {
            let item = follow(behind, flat.instances[*fixup].imports[*import]);
            matches!(item, Item::Export { instance, .. } if instance >= shim)
        });
        if later {
            continue;
        }
        let between = flat.instances.get(shim + 1..*fixup).unwrap_or_default();
        if between.iter().any(|instance| flat.modules[instance.module].starts) {
            return Err(NotRewritable::new("code of it runs before its imports are there"));
        }
        pairs.push((shim, *fixup));
    }
    Ok(pairs)
}

/// Takes out core instances that nothing is left of, and modules that nothing is left of then.
fn remove(flat: &mut Flat<'_>, gone: &[usize]) {
    let mut places = Vec::with_capacity(flat.instances.len());
    let mut next = 0;
    for instance in 0..flat.instances.len() {
        places.push(next);
        next += usize::from(!gone.contains(&instance));
    }
    for item in flat.items() {
        if let Item::Export { instance, .. } = item {
            *instance = places[*instance];
        }
    }
    let mut instance = 0;
    flat.instances.retain(|_| {
        instance += 1;
        !gone.contains(&(instance - 1))
    });
    let mut used = vec![false; flat.modules.len()];
    for instance in &flat.instances {
        used[instance.module] = true;
    }
    let mut places = Vec::with_capacity(used.len());
    let mut next = 0;
    for used in &used {
        places.push(next);
        next += usize::from(*used);
    }
    for instance in &mut flat.instances {
        instance.module = places[instance.module];
    }
    let mut used = used.into_iter();
    flat.modules.retain(|_| used.next().unwrap_or_default());
}

/// What a module's code amounts to.
enum Kind {
    /// It calls through its table.
    Shim {
        /// The place in the table that each function calls, by the function's index.
        slots: HashMap<u32, u32>,
        /// How many places the table has.
        size: u64,
    },
    /// It fills a table.
    Fixup {
        /// Which import it puts into each place, by the place among all of its imports.
        functions: HashMap<u32, usize>,
        /// The first place after those that it fills.
        end: u64,
    },
    /// Anything else.
    Other,
}

fn kind(bytes: &[u8], module: &Module<'_>) -> Result<Kind, NotRewritable> {
    let tables =
        |of: &mut dyn Iterator<Item = ExternalKind>| of.filter(|of| *of == ExternalKind::Table).count();
    let imported = tables(&mut module.imports.iter().map(|import| import.kind));
    let exported = tables(&mut module.exports.iter().map(|export| export.kind));
    let code = bytes.get(module.bytes.clone()).unwrap_or_default();
    Ok(match (imported, exported) {
        _ if module.starts => Kind::Other,
        (0, 1) if module.imports.is_empty() => shim(code, module)?.unwrap_or(Kind::Other),
        (1, 0) if module.exports.is_empty() => fixup(code, module)?.unwrap_or(Kind::Other),
        _ => Kind::Other,
    })
}

/// The module in `code`, which has no imports, if it is a shim.
fn shim(code: &[u8], module: &Module<'_>) -> Result<Option<Kind>, NotRewritable> {
    let functions_and_table = |kind| matches!(kind, ExternalKind::Func | ExternalKind::Table);
    if !module.exports.iter().all(|export| functions_and_table(export.kind)) {
        return Ok(None);
    }
    let (mut types, mut params, mut size) = (Vec::new(), Vec::new(), None);
    let mut slots = HashMap::new();
    for payload in Parser::new(0).parse_all(code) {
        match payload? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    let Ok(ty) = ty else { return Ok(None) };
                    params.push(ty.params().len());
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    types.push(ty?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let table = table?;
                    if size.replace(table.ty.initial).is_some() || table.ty.table64 {
                        return Ok(None);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                let function = u32::try_from(slots.len()).unwrap_or(u32::MAX);
                let Some(ty) = types.get(slots.len()) else { return Ok(None) };
                let Some(count) = params.get(*ty as usize) else { return Ok(None) };
                let Some(slot) = trampoline(&body, *ty, *count)? else { return Ok(None) };
                slots.insert(function, slot);
            }
            Payload::ElementSection(_) | Payload::DataSection(_) | Payload::MemorySection(_) => {
                return Ok(None);
            }
            _ => {}
        }
    }
    Ok(size.map(|size| Kind::Shim { slots, size }))
}

/// The place that `body` calls with its own parameters, of which there are `count`, if that is all it does.
fn trampoline(body: &FunctionBody<'_>, ty: u32, count: usize) -> Result<Option<u32>, NotRewritable> {
    if body.get_locals_reader()?.get_count() > 0 {
        return Ok(None);
    }
    let mut reader = body.get_operators_reader()?;
    for param in 0..u32::try_from(count).unwrap_or(u32::MAX) {
        if !matches!(reader.read()?, Operator::LocalGet { local_index } if local_index == param) {
            return Ok(None);
        }
    }
    let Operator::I32Const { value } = reader.read()? else { return Ok(None) };
    let called = reader.read()?;
    let calls = matches!(called, Operator::CallIndirect { type_index, table_index: 0 } if type_index == ty);
    let ends = calls && matches!(reader.read()?, Operator::End) && reader.eof();
    Ok(if ends { u32::try_from(value).ok() } else { None })
}

/// The module in `code`, which has no exports, if it is a fix-up.
fn fixup(code: &[u8], module: &Module<'_>) -> Result<Option<Kind>, NotRewritable> {
    let functions_and_table = |kind| matches!(kind, ExternalKind::Func | ExternalKind::Table);
    if !module.imports.iter().all(|import| functions_and_table(import.kind)) {
        return Ok(None);
    }
    let imports: Vec<usize> = (0..module.imports.len())
        .filter(|import| module.imports[*import].kind == ExternalKind::Func)
        .collect();
    let (mut functions, mut end, mut lists) = (HashMap::new(), 0, 0);
    for payload in Parser::new(0).parse_all(code) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Table(ty) = import?.ty
                        && ty.table64
                    {
                        return Ok(None);
                    }
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    let element = element?;
                    lists += 1;
                    let (
                        ElementKind::Active { table_index: None | Some(0), offset_expr },
                        ElementItems::Functions(items),
                        1,
                    ) = (element.kind, element.items, lists)
                    else {
                        return Ok(None);
                    };
                    let Some(first) = constant(&offset_expr)? else { return Ok(None) };
                    end = u64::from(first);
                    for item in items {
                        let Some(import) = imports.get(item? as usize) else { return Ok(None) };
                        let Ok(place) = u32::try_from(end) else { return Ok(None) };
                        functions.insert(place, *import);
                        end += 1;
                    }
                }
            }
            Payload::FunctionSection(_)
            | Payload::TableSection(_)
            | Payload::MemorySection(_)
            | Payload::GlobalSection(_)
            | Payload::DataSection(_) => return Ok(None),
            _ => {}
        }
    }
    Ok(Some(Kind::Fixup { functions, end }))
}

/// The number that `expression` is, if it is one.
fn constant(expression: &ConstExpr<'_>) -> Result<Option<u32>, NotRewritable> {
    let mut reader = expression.get_operators_reader();
    let Operator::I32Const { value } = reader.read()? else { return Ok(None) };
    let ends = matches!(reader.read()?, Operator::End) && reader.eof();
    Ok(if ends { u32::try_from(value).ok() } else { None })
}
