//! C# with the C library: the binding of examples/dotnet, its gateway and its policies for YARP, compiled and run under
//! Mono and .NET 8. `capi/tests/dotnet/toolchain` provides compilers and runtimes; tests of one that is not available
//! are reported as ignored.

mod agreement;
mod binding;
mod build;
mod gateway;
mod readme;
mod runtime;
mod upstream;
mod yarp;
