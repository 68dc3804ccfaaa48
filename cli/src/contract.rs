//! The reference of the contract, written from `wit/strategy.wit`: `docs/reference/contract.md`.

use std::fmt::Write as _;

use wit_parser::{Docs, Function, Interface, Resolve, Type, TypeDef, TypeDefKind};

use crate::sdk::WIT;

/// The page.
///
/// # Errors
/// Where the contract cannot be read.
pub fn reference() -> Result<String, String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("strategy.wit", WIT).map_err(|error| format!("{error:#}"))?;
    let package = &resolve.packages[package];
    let mut page = format!(
        "# The contract: {}\n\nWritten by `contract-reference` from [wit/strategy.wit](../../wit/strategy.wit). Do not edit.\n\n{}\n",
        package.name,
        prose(&package.docs)
    );
    for (name, title) in [("handler", "Callbacks"), ("host", "Imports"), ("types", "Types")] {
        let interface = package.interfaces.get(name).ok_or_else(|| format!("there is no interface {name}"))?;
        section(&mut page, title, &resolve, &resolve.interfaces[*interface]);
    }
    Ok(page)
}

fn section(page: &mut String, title: &str, resolve: &Resolve, interface: &Interface) {
    // Writing to a String cannot fail.
    let _ = write!(page, "\n## {title}\n\n{}\n", prose(&interface.docs));
    for function in interface.functions.values() {
        let docs = prose(&function.docs);
        let _ = write!(page, "\n### `{}`\n\n`{}`\n\n{docs}\n", function.name, signature(resolve, function));
    }
    for id in interface.types.values() {
        let of = &resolve.types[*id];
        let own = !matches!(of.kind, TypeDefKind::Type(_));
        if let (Some(name), true) = (&of.name, own) {
            let _ = write!(page, "\n### {} `{name}`\n\n{}\n", of.kind.as_str(), prose(&of.docs));
            members(page, resolve, of);
        }
    }
}

fn members(page: &mut String, resolve: &Resolve, of: &TypeDef) {
    match &of.kind {
        TypeDefKind::Record(record) => {
            page.push_str("\n| field | type | |\n|---|---|---|\n");
            for field in &record.fields {
                let (ty, docs) = (shown(resolve, &field.ty), line(&field.docs));
                let _ = writeln!(page, "| `{}` | {ty} | {docs} |", field.name);
            }
        }
        TypeDefKind::Enum(of) => {
            let cases: Vec<_> = of.cases.iter().map(|case| format!("`{}`", case.name)).collect();
            let _ = writeln!(page, "\nIn the order of their numbers, from 0: {}.", cases.join(", "));
        }
        TypeDefKind::Flags(of) => {
            let flags: Vec<_> = of.flags.iter().map(|flag| format!("`{}`", flag.name)).collect();
            let _ = writeln!(page, "\nIn the order of their bits, from 0: {}.", flags.join(", "));
        }
        _ => {}
    }
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let params = function.params.iter().map(|param| format!("{}: {}", param.name, shown(resolve, &param.ty)));
    let params: Vec<_> = params.collect();
    let result = function.result.as_ref().map_or_else(String::new, |ty| format!(" -> {}", shown(resolve, ty)));
    format!("{}({}){result}", function.name, params.join(", "))
}

fn shown(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else {
        return match ty {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext | Type::Id(_) => "?",
        }
        .to_owned();
    };
    let of = &resolve.types[*id];
    match (&of.kind, &of.name) {
        // A name that an interface uses under another one: what it is called where it is told of.
        (TypeDefKind::Type(Type::Id(original)), _) => shown(resolve, &Type::Id(*original)),
        (_, Some(name)) => name.clone(),
        (TypeDefKind::List(ty), None) => format!("list<{}>", shown(resolve, ty)),
        (TypeDefKind::Option(ty), None) => format!("option<{}>", shown(resolve, ty)),
        (TypeDefKind::Tuple(tuple), None) => {
            let types: Vec<_> = tuple.types.iter().map(|ty| shown(resolve, ty)).collect();
            format!("tuple<{}>", types.join(", "))
        }
        (TypeDefKind::Result(result), None) => {
            let part = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| shown(resolve, ty));
            format!("result<{}, {}>", part(&result.ok), part(&result.err))
        }
        (kind, None) => kind.as_str().to_owned(),
    }
}

/// A comment as it is, less the space that its lines begin with.
fn prose(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default();
    text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect::<Vec<_>>().join("\n")
}

/// A comment in one line of a table.
fn line(docs: &Docs) -> String {
    prose(docs).replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_docs_is_the_contract_s() {
        let committed = include_str!("../../docs/reference/contract.md");
        let written = reference().unwrap();
        assert!(committed == written, "docs/reference/contract.md is not current; run `make reference`");
    }

    #[test]
    fn every_callback_and_import_has_a_line_that_says_what_it_is_for() {
        let page = reference().unwrap();
        for part in page.split("\n### `").skip(1) {
            let prose: Vec<_> = part.lines().skip(4).take_while(|line| !line.starts_with('#')).collect();
            assert!(prose.iter().any(|line| line.len() > 20), "{part}");
        }
    }
}
