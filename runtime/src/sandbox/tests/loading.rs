//! What is loaded, what is refused and with which words, and what the cache may be trusted with.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::guests::{component, core, guest};
use super::{LANES, ON_QUOTE, budget, directory, host, sandbox};
use crate::limits::MODULE_FUNCTION_BYTES_MAX;
use crate::sandbox::aot::CacheError;
use crate::sandbox::artefact::{Artefact, ArtefactError};
use crate::sandbox::compile::Compiler;
use crate::sandbox::{Digest, Lane, LoadError, Sandbox, SandboxConfig, SandboxError};

fn refusal(bytes: &[u8]) -> ArtefactError {
    match sandbox().load(bytes) {
        Err(LoadError::Artefact(error)) => error,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was loaded"),
    }
}

#[test]
fn a_component_of_one_core_module_takes_the_direct_lane() {
    // With and without what makes wit-component add its shim and fixups.
    for body in ["", r#"(func (on "quote") (call $log (i32.const 0) (i32.const 0) (i32.const 0)))"#] {
        let bytes = guest(body);
        let artefact = Artefact::inspect(&bytes).unwrap();
        assert_eq!(artefact.lane(), Lane::Direct);
        assert!(artefact.code(Lane::Direct).unwrap().starts_with(b"\0asm\x01\0\0\0"));
        assert_eq!(artefact.code(Lane::Component), Some(bytes.as_slice()));
        assert_eq!(artefact.digest(), Digest::of(&bytes));
    }
}

#[test]
fn a_component_with_more_substance_than_one_module_takes_the_component_lane() {
    let bytes = with_a_second_module();
    let artefact = Artefact::inspect(&bytes).unwrap();
    assert_eq!(artefact.lane(), Lane::Component);
    assert!(artefact.code(Lane::Direct).is_none());
    assert!(matches!(sandbox().load_for(&bytes, Lane::Direct), Err(LoadError::NotDirect)));
    let module = sandbox().load(&bytes).unwrap();
    let mut guest = module.instantiate(host(), &budget()).unwrap();
    guest.init(&[]).unwrap();
    assert_eq!(guest.call(&ON_QUOTE), Ok(()));
}

/// A good component with a second core module, which has a memory, put behind its sections.
fn with_a_second_module() -> Vec<u8> {
    let mut bytes = guest("");
    let second = wat::parse_str("(module (memory 1))").unwrap();
    // Section 1 of a component is a core module; its size is a LEB128 of one byte here.
    bytes.push(1);
    bytes.push(u8::try_from(second.len()).unwrap());
    assert!(second.len() < 128);
    bytes.extend_from_slice(&second);
    bytes
}

#[test]
fn the_digest_names_the_artefact() {
    assert_eq!(
        Digest::of(b"abc").to_string(),
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn a_component_that_imports_what_the_contract_lacks_is_refused_by_name() {
    let wasi = wat::parse_str(r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance)))"#).unwrap();
    let error = refusal(&wasi);
    assert_eq!(error, ArtefactError::Import("wasi:clocks/wall-clock@0.2.0".to_owned()));
    assert!(error.to_string().contains("wasi:clocks/wall-clock@0.2.0"), "{error}");
}

#[test]
fn a_component_whose_host_has_other_types_is_refused() {
    let other = wat::parse_str(
        r#"(component
             (import "pinion:strategy/host@0.1.0" (instance (export "now" (func (result string)))))
             (instance $handler)
             (export "pinion:strategy/handler@0.1.0" (instance $handler)))"#,
    )
    .unwrap();
    let error = sandbox().load(&other).err().unwrap();
    assert!(matches!(error, LoadError::Link(_)), "{error:?}");
}

#[test]
fn a_component_without_callbacks_is_refused() {
    assert_eq!(refusal(&wat::parse_str("(component)").unwrap()), ArtefactError::NoHandler);
    let empty = wat::parse_str(
        r#"(component (instance $handler) (export "pinion:strategy/handler@0.1.0" (instance $handler)))"#,
    );
    let fault = sandbox().load(&empty.unwrap()).unwrap().instantiate(host(), &budget()).err().unwrap();
    assert!(fault.detail.contains("on-init"), "{fault}");
}

#[test]
fn a_core_module_is_refused_with_what_to_do() {
    let error = refusal(&wat::parse_str(core("")).unwrap());
    assert_eq!(error, ArtefactError::CoreModule);
    assert!(error.to_string().contains("pinion build"), "{error}");
}

#[test]
fn garbage_and_every_truncation_are_refused() {
    assert_eq!(refusal(b""), ArtefactError::NotWasm);
    assert_eq!(refusal(b"#!/bin/sh\n"), ArtefactError::NotWasm);
    let whole = guest("");
    let mut accepted = 0;
    for len in 0..whole.len() {
        match Artefact::inspect(&whole[..len]) {
            Ok(_) => {
                // Nothing but custom sections (number 0), which nobody needs, is missing.
                assert_eq!(whole[len], 0, "{len}");
                accepted += 1;
            }
            Err(ArtefactError::NotWasm | ArtefactError::Invalid(_) | ArtefactError::NoHandler) => {}
            Err(other) => panic!("{len}: {other:?}"),
        }
    }
    assert!(accepted < 4, "{accepted}");
}

/// A component around a core module, made by hand because wit-component itself refuses what is tried here.
fn by_hand(module: &[u8]) -> Vec<u8> {
    let seven_bits = |shift: u32| u8::try_from(module.len() >> shift & 0x7f).unwrap();
    let size = [seven_bits(0) | 0x80, seven_bits(7) | 0x80, seven_bits(14)];
    // The empty instance, exported as the handler.
    let handler = b"\x05\x03\x01\x01\0\x0b\x23\x01\0\x1dpinion:strategy/handler@0.1.0\x05\0\0";
    [b"\0asm\x0d\0\x01\0\x01", &size[..], module, handler].concat()
}

#[test]
fn a_core_module_that_is_not_just_the_contract_is_not_lifted_out() {
    let plain = core("");
    let lane = |text: &str| Artefact::inspect(&by_hand(&wat::parse_str(text).unwrap())).unwrap().lane();
    assert_eq!(lane(&plain), Lane::Direct);
    for (name, other) in [
        ("a foreign import", core("(import \"env\" \"now\" (func (result i64)))")),
        ("an import of another type", core("(import \"pinion:strategy/host@0.1.0\" \"now\" (func))")),
        ("an import of no function", core("(import \"pinion:strategy/host@0.1.0\" \"now\" (global i64))")),
        ("a callback of another type", plain.replace("(param i64 i64)", "(param i64 i32)")),
        ("no allocator", plain.replace("cabi_realloc", "malloc")),
        ("no memory", plain.replace("\"memory\"", "\"heap\"")),
    ] {
        assert_eq!(lane(&other), Lane::Component, "{name}");
    }
}

#[test]
fn features_that_are_off_are_refused() {
    let component = |body: &str| by_hand(&wat::parse_str(core(body)).unwrap());
    assert!(Artefact::inspect(&component("")).is_ok());
    for body in [
        "(memory (export \"memory\") 1 1 shared)",
        "(func (drop (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0))))",
        "(memory $big i64 1)",
    ] {
        assert!(matches!(refusal(&component(body)), ArtefactError::Invalid(_)), "{body}");
    }
}

#[test]
fn a_function_that_is_too_large_is_refused_before_it_is_compiled() {
    let nops = "nop ".repeat(MODULE_FUNCTION_BYTES_MAX);
    let bomb = component(&core(&format!("(func {nops})")));
    assert!(matches!(refusal(&bomb), ArtefactError::Limit(_)));
}

#[test]
fn a_damaged_cache_entry_is_compiled_again_and_never_run() {
    let dir = directory("damaged");
    let config = SandboxConfig { cache: dir.clone(), compiler: Compiler::Here, instances: 4, kept: None };
    let sandbox = Sandbox::new(config).unwrap();
    for lane in LANES {
        let bytes = guest("");
        sandbox.load_for(&bytes, lane).unwrap();
        let path = sandbox.cache().path(Digest::of(&bytes), lane);
        let code = fs::read(&path).unwrap();
        let mut flipped = code.clone();
        flipped[code.len() / 2] ^= 1;
        for damaged in [flipped, code[..code.len() - 1].to_vec(), Vec::new()] {
            fs::write(&path, damaged).unwrap();
            let module = sandbox.load_for(&bytes, lane).unwrap();
            assert_eq!(fs::read(&path).unwrap(), code, "{lane:?}");
            let mut guest = module.instantiate(host(), &budget()).unwrap();
            guest.init(&[]).unwrap();
            assert_eq!(guest.call(&ON_QUOTE), Ok(()));
        }
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        sandbox.load_for(&bytes, lane).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().modified().unwrap(),
            before,
            "{lane:?}: a whole entry is used as it is"
        );
    }
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), LANES.len(), "no temporary file stays: {left:?}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_cache_that_others_can_reach_is_refused() {
    let dir = directory("open");
    fs::create_dir(&dir).unwrap();
    for mode in [0o777, 0o750, 0o701] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
        let config = SandboxConfig { cache: dir.clone(), compiler: Compiler::Here, instances: 4, kept: None };
        let error = Sandbox::new(config).err().unwrap();
        assert!(matches!(error, SandboxError::Cache(CacheError::Open { .. })), "{mode:o}: {error:?}");
    }
    fs::remove_dir_all(dir).unwrap();
}
