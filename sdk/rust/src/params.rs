//! The strategy file's `params`.

use std::fmt::Display;
use std::str::FromStr;

use crate::Size;
use crate::units::decimal;

/// Names and values, as the strategy file gives them. The errors are for [`crate::Strategy::new`] to hand on.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// These names and values.
    #[must_use]
    pub const fn new(params: Vec<(String, String)>) -> Self {
        Self(params)
    }

    /// The text of a param.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A param as a number or whatever else reads itself from text; `default` where the file has none.
    ///
    /// # Errors
    /// Name and text of a value that is none.
    pub fn or<T>(&self, name: &str, default: T) -> Result<T, String>
    where
        T: FromStr,
        T::Err: Display,
    {
        match self.get(name) {
            Some(text) => text.parse().map_err(|error| format!("param {name:?} is {text:?}: {error}")),
            None => Ok(default),
        }
    }

    /// A size in base units (`"0.25"`) at `10^size_exponent`.
    ///
    /// # Errors
    /// Where there is none, or it would have to be rounded.
    pub fn size(&self, name: &str, size_exponent: i32) -> Result<Size, String> {
        let text = self.get(name).ok_or_else(|| format!("param {name:?} is missing"))?;
        let size = decimal(text, size_exponent).ok_or_else(|| {
            format!("param {name:?} is {text:?}: want a size such as \"0.25\", a multiple of 1e{size_exponent}")
        })?;
        Ok(Size(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_param_is_named() {
        let params = Params::new(vec![("n".to_owned(), "x".to_owned()), ("size".to_owned(), "0.001".to_owned())]);
        assert_eq!(params.or("absent", 7_u32), Ok(7));
        assert_eq!(params.size("size", -9), Ok(Size(1_000_000)));
        assert!(params.or("n", 7_u32).unwrap_err().contains("\"n\""));
        assert!(params.size("size", -2).unwrap_err().contains("\"size\""));
        assert!(params.size("absent", -2).unwrap_err().contains("missing"));
    }
}
