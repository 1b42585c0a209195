//! The agents of examples/agents as their users run them: beside an instance, for a gateway that is started and killed. What is
//! not to be had here (Mono, .NET) is reported as ignored.

mod dotnet;
mod fleet;
mod process;
mod shell;
