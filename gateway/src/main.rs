//! The program `homing`: a gateway, and commands for those who run one; without arguments a demo of one.

mod cli;
mod demo;

/// A proxy allocates many small, short-lived objects; mimalloc does that at half the cost of the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
