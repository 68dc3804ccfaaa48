//! Writes what the examples come to on the captures into their pages: `make examples`.

#![allow(clippy::expect_used, reason = "what fails here is told by a panic")]

use pinion_tests::results::{examples, page, table, with_table};

fn main() {
    for name in examples() {
        let Some(table) = table(name) else { return };
        let page = page(name);
        let text = std::fs::read_to_string(&page).expect("the page of the example");
        let text = with_table(&text, &table).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        std::fs::write(&page, text).expect("write the page");
        println!("{}", page.display());
    }
}
