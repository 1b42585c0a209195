//! C# over the C library, as its users run it: the binding of examples/dotnet, its gateway and its policies for YARP, compiled
//! and run under Mono and under .NET 8. `capi/tests/dotnet/toolchain` says where the compilers and runtimes are from; where one is
//! not to be had, its tests skip with a printed line.

mod agreement;
mod binding;
mod build;
mod gateway;
mod readme;
mod runtime;
mod toolchain;
mod upstream;
mod yarp;
