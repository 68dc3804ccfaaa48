//! Guests as text: what a test wants is written out, the rest of the contract is filled in and does nothing.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Callbacks and their core signatures.
const CALLBACKS: [(&str, &str); 18] = [
    ("on-init", "(param i32 i32 i32 i32) (result i32)"),
    ("on-start", ""),
    ("on-quote", "(param i64 i32 i32 i64 i64 i64 i64 i64 i64 i64 i32 i32)"),
    ("on-trade", "(param i64 i32 i32 i64 i64 i64 i64 i64 i64 i32)"),
    ("on-book-delta", "(param i64 i32 i32 i64 i64 i64 i64 i64 i32 i32 i32)"),
    ("on-book", "(param i64 i32 i32 i64 i64 i64 i64 i64 i64 i64 i32 i32)"),
    ("on-gap", "(param i64 i32 i64 i64 i64 i64)"),
    ("on-recovered", "(param i64 i64)"),
    ("on-status", "(param i64 i32 i32 i64 i64 i64 i32)"),
    ("on-bar", "(param i64 i32 i32 i32 i32 i64 i64 i64 i64 i64 i64 i64 i64 i64)"),
    ("on-timer", "(param i64 i64)"),
    ("on-order", "(param i64 i64 i64 i64 i64 i32 i32 i64 i64 i64)"),
    ("on-fill", "(param i64 i64 i64 i64 i64 i32 i64 i64 i64 i64 i32)"),
    ("on-position", "(param i64 i64 i64 i64 i64 i64 i64 i64)"),
    ("on-trading-state", "(param i32)"),
    ("on-save", "(result i32)"),
    ("on-load", "(param i32 i32 i32) (result i32)"),
    ("on-stop", ""),
];

/// The imports, for guests to choose from: `$submit` and so on.
const IMPORTS: [(&str, &str); 11] = [
    ("submit", "(param i64 i32 i32 i32 i64 i64 i64) (result i64)"),
    ("modify", "(param i64 i64 i64)"),
    ("cancel", "(param i64)"),
    ("cancel-all", ""),
    ("set-timer", "(param i64 i64)"),
    ("now", "(result i64)"),
    ("instrument", "(param i64 i32)"),
    ("position", "(param i64 i32)"),
    ("book-level", "(param i64 i32 i32 i32)"),
    ("metric-set", "(param i32 i32 f64)"),
    ("log", "(param i32 i32 i32)"),
];

/// A whole core module around `body`. In it `(on "quote")` stands for a callback's export and parameters, and calls of `$submit`
/// and its like bring the import in. A bump allocator, a page of memory, and an `on-init` that wants everything are added
/// where the body has none.
pub(super) fn core(body: &str) -> String {
    let mut text = String::from("(module\n");
    for (name, signature) in IMPORTS {
        if body.contains(&format!("${name}")) {
            text += &format!("(import \"pinion:strategy/host@0.1.0\" \"{name}\" (func ${name} {signature}))\n");
        }
    }
    let mut body = body.to_owned();
    for (name, signature) in CALLBACKS {
        let export = format!("(export \"pinion:strategy/handler@0.1.0#{name}\") {signature}");
        let short = format!("(on \"{}\")", &name[3..]);
        if body.contains(&short) {
            body = body.replace(&short, &export);
        } else if name == "on-init" {
            body += &format!(
                "(func {export} (i32.store8 (i32.const 16) (i32.const 0)) (i32.store16 (i32.const 20) (i32.const -1)) \
                 (i32.const 16))\n"
            );
        } else if name == "on-save" || name == "on-load" {
            // Zeros: of version 0 nothing is saved, and anything is loaded.
            body += &format!("(func {export} (i32.const 32))\n");
        } else {
            body += &format!("(func {export})\n");
        }
    }
    if !body.contains("\"memory\"") {
        body += "(memory (export \"memory\") 1)\n";
    }
    if !body.contains("cabi_realloc") {
        body += BUMP_ALLOCATOR;
    }
    text + &body + ")"
}

const BUMP_ALLOCATOR: &str = r#"
    (global $heap (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $heap (i32.add (local.get $at) (local.get $size)))
      (local.get $at))
"#;

/// A component of a core module, as `pinion build` makes it.
pub(super) fn component(core: &str) -> Vec<u8> {
    let mut module = wat::parse_str(core).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("strategy.wit", include_str!("../../../../wit/strategy.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("strategy")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// A component of [`core`]`(body)`.
pub(super) fn guest(body: &str) -> Vec<u8> {
    component(&core(body))
}
