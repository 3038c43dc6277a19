//! One reader under libFuzzer: that of this binary's name.
#![no_main]

use isotel_fuzz::targets;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<&targets::Target> = LazyLock::new(|| targets::named(env!("CARGO_BIN_NAME")));

fuzz_target!(|input: &[u8]| TARGET.check(input));
