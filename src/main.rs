//! The `isotel` binary; everything is in the library.

/// See `docs/decisions/0010-allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    isotel::cli::main()
}
