using System;

namespace Homing.Yarp;

/// <summary>What Homing needs to know beyond YARP's own configuration of a cluster.</summary>
public sealed class HomingYarpOptions
{
    /// <summary>The key file, created where absent. Proxies with the same one share sessions. Null: sessions end with this process.</summary>
    public string? KeyFile { get; init; }

    /// <summary>How new sessions are placed.</summary>
    public string Policy { get; init; } = "least_sessions";

    /// <summary>How long a session may go without a request, which a page that lives by a WebSocket does not make. Null: for as long
    /// as it lives.</summary>
    public TimeSpan? Idle { get; init; }
}
