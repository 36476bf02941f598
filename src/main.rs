//! The `miod` command.

fn main() -> std::process::ExitCode {
    miod::main()
}
