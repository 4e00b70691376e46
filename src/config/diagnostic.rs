//! A mistake in a configuration: what is wrong, where, and what to do about it.
//!
//! A check never stops at the first mistake: it adds a [`Diagnostic`] to the [`Diagnostics`] of the file and continues,
//! so that one run shows everything. Later steps (the inspection of components, linking) add theirs with the spans that
//! the plan carries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::source::{SourceFile, Span};

/// The severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration works, but probably not as its author thinks.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One mistake. Built by [`Diagnostics::error`] and [`Diagnostics::warning`] and the methods here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) span: Option<Span>,
    pub(super) label: Option<String>,
    pub(super) help: Option<String>,
    pub(super) related: Vec<(Span, String)>,
    missing: Option<PathBuf>,
}

impl Diagnostic {
    /// Says, beside the caret, what is wrong with the marked text.
    pub fn label(&mut self, label: impl Into<String>) -> &mut Diagnostic {
        self.label = Some(label.into());
        self
    }

    /// Says what to do next.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Says which file is missing: with it, the configuration may be right.
    pub fn missing(&mut self, file: &Path) -> &mut Diagnostic {
        self.missing = Some(file.to_owned());
        self
    }

    /// Points at a second place, such as the first of two equal routes.
    pub fn related(&mut self, span: Span, label: impl Into<String>) -> &mut Diagnostic {
        self.related.push((span, label.into()));
        self
    }

    /// The severity.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The mistake in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The place; none for a mistake of the file as a whole.
    pub fn span(&self) -> Option<Span> {
        self.span
    }
}

/// An error in one value, before the place of the value is known: the error of every parser in `config` and `plan`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The mistake in one line, naming the value.
    pub message: String,
    /// What is wrong with the marked text, in a few words.
    pub label: String,
    /// What to do next.
    pub help: String,
}

impl Fault {
    /// A fault of its three texts.
    pub fn new(message: impl Into<String>, label: impl Into<String>, help: impl Into<String>) -> Fault {
        Fault { message: message.into(), label: label.into(), help: help.into() }
    }
}

/// Everything found in one file.
///
/// `Display` is the text for people, [`Diagnostics::to_json`] the form for programs; both are ordered by place.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    pub(super) source: Arc<SourceFile>,
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// No mistakes yet in `source`.
    pub fn new(source: Arc<SourceFile>) -> Diagnostics {
        Diagnostics { source, items: Vec::new() }
    }

    /// Adds an error at `span`, or about the file as a whole with `None`.
    pub fn error(&mut self, span: impl Into<Option<Span>>, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, span.into(), message.into())
    }

    /// Adds a warning at `span`, or about the file as a whole with `None`.
    pub fn warning(&mut self, span: impl Into<Option<Span>>, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, span.into(), message.into())
    }

    /// Adds the error of a value that stands at `span`.
    pub fn fault(&mut self, span: Span, fault: Fault) -> &mut Diagnostic {
        self.error(span, fault.message).label(fault.label).help(fault.help)
    }

    fn add(&mut self, severity: Severity, span: Option<Span>, message: String) -> &mut Diagnostic {
        let item = Diagnostic {
            severity,
            message,
            span,
            label: None,
            help: None,
            related: Vec::new(),
            missing: None,
        };
        self.items.push_mut(item)
    }

    /// Takes over all of `other`, which is about the same file.
    pub fn extend(&mut self, other: Diagnostics) {
        self.items.extend(other.items);
    }

    /// The file of these mistakes.
    pub fn source(&self) -> &Arc<SourceFile> {
        &self.source
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Number of errors.
    pub fn errors(&self) -> usize {
        self.items.iter().filter(|item| item.severity == Severity::Error).count()
    }

    /// Number of warnings.
    pub fn warnings(&self) -> usize {
        self.items.len() - self.errors()
    }

    /// Whether there is at least one error.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// All of them by place: first those of the file as a whole, then from top to bottom.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut items: Vec<&Diagnostic> = self.items.iter().collect();
        items.sort_by_key(|item| (item.span, item.severity));
        items
    }

    /// The files that are missing.
    pub fn missing_files(&self) -> impl Iterator<Item = &Path> {
        self.items.iter().filter_map(|item| item.missing.as_deref())
    }

    /// `value` with the warnings, unless there is an error.
    pub fn into_result<T>(self, value: T) -> Result<(T, Diagnostics), Diagnostics> {
        if self.has_errors() { Err(self) } else { Ok((value, self)) }
    }
}

impl std::error::Error for Diagnostics {}
