//! The `isotel` binary; everything is in the library.

fn main() -> std::process::ExitCode {
    isotel::cli::main()
}
