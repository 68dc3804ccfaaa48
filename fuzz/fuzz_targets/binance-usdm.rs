//! Records of encoding `binance-usdm`.
#![no_main]

use pinion_spec::strategy::Encoding;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinion_fuzz::decode(Encoding::BinanceUsdm, bytes));
