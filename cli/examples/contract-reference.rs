//! Writes the reference of the contract to stdout; see `make reference`.

fn main() -> Result<(), String> {
    print!("{}", pinion_cli::contract::reference()?);
    Ok(())
}
