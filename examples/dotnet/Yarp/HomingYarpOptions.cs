using System;

namespace Homing.Yarp;

/// <summary>Options beyond YARP's own configuration of a cluster.</summary>
public sealed class HomingYarpOptions
{
    /// <summary>The key file, which is created if it does not exist. Proxies with the same file share sessions. Null:
    /// sessions end with this process.</summary>
    public string? KeyFile { get; init; }

    /// <summary>The policy that places new sessions.</summary>
    public string Policy { get; init; } = "least_sessions";

    /// <summary>The maximum time between two requests of a session; a page that uses a WebSocket alone makes none.
    /// Null: the session's maximum age.</summary>
    public TimeSpan? Idle { get; init; }
}
