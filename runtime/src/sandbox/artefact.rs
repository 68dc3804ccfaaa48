//! What a module's bytes are, before anything is compiled: the first look at something hostile.
//!
//! Accepts a component that imports nothing but the contract's `host` and exports its `handler`. Everything else is refused with
//! what its author can do about it. Costs one pass over the bytes; nothing here runs or compiles the guest.

use std::fmt;
use std::ops::Range;

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmparser::{FunctionBody, Operator, Parser, Payload, Validator};

use super::abi;
use super::engine::FEATURES;
use crate::limits::{MODULE_BYTES_MAX, MODULE_FUNCTION_BYTES_MAX, MODULE_FUNCTIONS_MAX};

/// The name of a module: the SHA-256 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest without `sha256:`, 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

/// How a guest's callbacks are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// As exports of the component's one core module.
    Direct,
    /// Through the component's own interface.
    Component,
}

impl Lane {
    /// The name in file names, metrics and the compiler's command line.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Component => "component",
        }
    }
}

/// Why bytes are no module of ours.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ArtefactError {
    /// More than [`MODULE_BYTES_MAX`].
    #[error("the module has {bytes} bytes, more than the {MODULE_BYTES_MAX} that are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A core module.
    #[error("this is a WebAssembly core module, not a component; make one of it with `pinion build`")]
    CoreModule,
    /// Not WebAssembly at all.
    #[error("this is not WebAssembly; give the .wasm file that `pinion build` writes")]
    NotWasm,
    /// WebAssembly that the specification, or our choice of features, does not allow.
    #[error("the module is not valid: {0}")]
    Invalid(String),
    /// An import that the contract lacks.
    #[error("the module imports {0:?}, which a strategy has not; it may import {HOST:?} only", HOST = abi::HOST)]
    Import(String),
    /// No `handler`.
    #[error("the module does not export {HANDLER:?}; is it built for another world?", HANDLER = abi::HANDLER)]
    NoHandler,
    /// Something in it is larger than its limit.
    #[error("the module has {0}")]
    Limit(String),
}

/// A component that keeps to the contract's outer form.
pub struct Artefact<'a> {
    bytes: &'a [u8],
    digest: Digest,
    core: Option<Range<usize>>,
}

impl<'a> Artefact<'a> {
    /// Looks at a module's bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn inspect(bytes: &'a [u8]) -> Result<Self, ArtefactError> {
        if bytes.len() > MODULE_BYTES_MAX {
            return Err(ArtefactError::TooLarge { bytes: bytes.len() });
        }
        if Parser::is_core_wasm(bytes) {
            return Err(ArtefactError::CoreModule);
        }
        if !Parser::is_component(bytes) {
            return Err(ArtefactError::NotWasm);
        }
        let modules = outline(bytes)?;
        Validator::new_with_features(FEATURES).validate_all(bytes).map_err(invalid)?;
        Ok(Self { bytes, digest: Digest::of(bytes), core: liftable(bytes, &modules) })
    }

    /// The component as it is.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The artefact's name.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The lane it can take.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        if self.core.is_some() { Lane::Direct } else { Lane::Component }
    }

    /// The bytes to compile for a lane; `None` where the artefact cannot take it.
    #[must_use]
    pub fn code(&self, lane: Lane) -> Option<&'a [u8]> {
        match lane {
            Lane::Direct => self.core.clone().map(|range| &self.bytes[range]),
            Lane::Component => Some(self.bytes),
        }
    }
}

/// The interfaces that a component imports and those that it exports, by name. What cannot be read has none: this decides nothing.
#[must_use]
pub fn interfaces(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            // The parts of a component begin with their own version, and end.
            Ok(Payload::Version { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::ComponentImportSection(section)) if depth == 1 => {
                imports.extend(section.into_iter().flatten().map(|import| import.name.name.to_owned()));
            }
            Ok(Payload::ComponentExportSection(section)) if depth == 1 => {
                exports.extend(section.into_iter().flatten().map(|export| export.name.name.to_owned()));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    (imports, exports)
}

fn invalid(error: wasmparser::BinaryReaderError) -> ArtefactError {
    ArtefactError::Invalid(error.to_string())
}

/// One core module inside the component.
#[derive(Debug, Default)]
struct Part {
    range: Range<usize>,
    /// Not inside a nested component.
    top: bool,
    /// Exports a callback of the contract.
    handler: bool,
    /// Has memory, data, globals, or code that does more than pass its arguments on.
    substance: bool,
}

/// Reads the component's outer form and checks what is cheap to check: names, counts and sizes.
fn outline(bytes: &[u8]) -> Result<Vec<Part>, ArtefactError> {
    let mut parts: Vec<Part> = Vec::new();
    let mut functions = 0_u32;
    let mut handler = false;
    // How many components and modules enclose the payload; the outermost component itself is 1.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        match payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let name = import.map_err(invalid)?.name.name;
                    if name != abi::HOST && name != abi::TYPES {
                        return Err(ArtefactError::Import(name.to_owned()));
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    handler |= export.map_err(invalid)?.name.name == abi::HANDLER;
                }
            }
            Payload::ModuleSection { unchecked_range, .. } => {
                parts.push(Part { range: unchecked_range, top: depth == 1, ..Part::default() });
            }
            Payload::FunctionSection(section) => {
                functions = functions.saturating_add(section.count());
                if functions > MODULE_FUNCTIONS_MAX {
                    return Err(ArtefactError::Limit(format!("more than {MODULE_FUNCTIONS_MAX} functions")));
                }
            }
            Payload::CodeSectionEntry(body) => {
                let size = body.range().len();
                if size > MODULE_FUNCTION_BYTES_MAX {
                    return Err(ArtefactError::Limit(format!(
                        "a function of {size} bytes, more than the {MODULE_FUNCTION_BYTES_MAX} that are allowed"
                    )));
                }
                if let Some(part) = parts.last_mut() {
                    part.substance = part.substance || !is_trampoline(&body);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let name = export.map_err(invalid)?.name;
                    if let Some(part) = parts.last_mut() {
                        part.handler |= name.strip_prefix(abi::HANDLER).is_some_and(|rest| rest.starts_with('#'));
                    }
                }
            }
            Payload::MemorySection(_) | Payload::GlobalSection(_) | Payload::DataSection(_) => {
                if let Some(part) = parts.last_mut() {
                    part.substance = true;
                }
            }
            _ => {}
        }
    }
    if handler { Ok(parts) } else { Err(ArtefactError::NoHandler) }
}

/// Whether a function only passes its arguments on, as those of wit-component's shim do.
fn is_trampoline(body: &FunctionBody<'_>) -> bool {
    let plain = |operator: Operator<'_>| {
        matches!(
            operator,
            Operator::LocalGet { .. }
                | Operator::I32Const { .. }
                | Operator::Call { .. }
                | Operator::CallIndirect { .. }
                | Operator::End
        )
    };
    body.get_operators_reader().is_ok_and(|reader| reader.into_iter().all(|operator| operator.is_ok_and(plain)))
}

/// The one module that can stand for the whole component: it alone has substance, it exports every callback and imports host
/// functions only, all with the signatures that the canonical ABI gives them. Anything else takes the component lane.
fn liftable(bytes: &[u8], parts: &[Part]) -> Option<Range<usize>> {
    let mut mains = parts.iter().filter(|part| part.handler);
    let main = mains.next().filter(|main| main.top)?;
    let alone = mains.next().is_none() && parts.iter().all(|part| part.handler || !part.substance);
    if !alone {
        return None;
    }
    let types = Validator::new_with_features(FEATURES).validate_all(&bytes[main.range.clone()]).ok()?;
    abi::matches(types.as_ref()).then(|| main.range.clone())
}
