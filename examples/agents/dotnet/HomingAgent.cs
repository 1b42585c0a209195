using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Net;
using System.Net.Http;
using System.Text;
using System.Threading;

/// <summary>
/// Registers this process at Homing gateways, and sends them heartbeats every few seconds with its sessions, memory,
/// threads and processor time. One file without dependencies, for .NET Framework 4.6.1 and newer, Mono and .NET 8.
/// </summary>
/// <example><code>
/// var agent = new HomingAgent("app-7", "10.0.0.7:8080", new Uri("http://10.0.0.1:9090"))
/// {
///     TokenFile = "/etc/app/homing.token",
///     Sessions = () =&gt; sessions.Count,
/// };
/// agent.Start();
/// // When the application is told to stop:
/// agent.Stop(TimeSpan.FromMinutes(10));
/// </code></example>
/// <remarks>
/// Call Start, Stop and Dispose from one thread at a time. The delegates are called on the agent's own thread.
/// </remarks>
public sealed class HomingAgent : IDisposable
{
    private readonly string name;
    private readonly string address;
    private readonly Uri[] admins;
    private readonly HttpClient http;
    private readonly ManualResetEvent stop = new ManualResetEvent(false);
    private readonly HashSet<Uri> known = new HashSet<Uri>();
    private Thread thread;
    private TimeSpan lastProcessorTime;
    private long lastLooked;

    /// <param name="name">The instance's name at the gateways: visible ASCII, and the same after a restart.</param>
    /// <param name="address">Where they reach it, as host:port.</param>
    /// <param name="admins">The administration of each gateway; of gateways that share a discovery source, one.</param>
    public HomingAgent(string name, string address, params Uri[] admins)
    {
        if (string.IsNullOrEmpty(name)) throw new ArgumentException("an instance needs a name", nameof(name));
        if (string.IsNullOrEmpty(address)) throw new ArgumentException("an instance needs an address", nameof(address));
        if (admins == null || admins.Length == 0)
            throw new ArgumentException("an agent needs at least one gateway", nameof(admins));
        this.name = name;
        this.address = address;
        this.admins = admins;
        // The system's proxy is not for addresses of the own network.
        http = new HttpClient(new HttpClientHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(5) };
        Ttl = TimeSpan.FromSeconds(15);
        Weight = 1;
        Memory = () =>
        {
            using (var process = Process.GetCurrentProcess())
            {
                return Math.Max(process.WorkingSet64, GC.GetTotalMemory(false));
            }
        };
        Log = _ => { };
    }

    /// <summary>The instance drains after so long without a heartbeat; it sends three in it. Default: 15 s.</summary>
    public TimeSpan Ttl { get; set; }

    /// <summary>Its share of new sessions, 1 to 65535. Default: 1.</summary>
    public int Weight { get; set; }

    /// <summary>The most requests and WebSockets in flight; 0, the default, is no limit.</summary>
    public long MaxInFlight { get; set; }

    /// <summary>A file with the administration's token, read anew each time. Default: none.</summary>
    public string TokenFile { get; set; }

    /// <summary>The number of sessions in the application; null, the default, reports none.</summary>
    public Func<long> Sessions { get; set; }

    /// <summary>The bytes of memory in use. Default: the working set, or the heap if that is unknown.</summary>
    public Func<long> Memory { get; set; }

    /// <summary>Receives a line when something fails, and when it works again. Default: none.</summary>
    public Action<string> Log { get; set; }

    /// <summary>Starts the heartbeats. Returns at once, whether a gateway responds or not.</summary>
    public void Start()
    {
        if (thread != null) throw new InvalidOperationException("this agent was started before");
        thread = new Thread(Run) { IsBackground = true, Name = "homing agent" };
        thread.Start();
    }

    /// <summary>
    /// Deregisters this instance. With a time to drain it gets no new sessions, and this returns when its sessions have
    /// left every gateway, or when that time and the gateways' own spread have passed; otherwise it is removed at once.
    /// </summary>
    public void Stop(TimeSpan drain = default(TimeSpan))
    {
        if (thread == null || stop.WaitOne(0)) return;
        stop.Set();
        thread.Join();
        var seconds = (long)drain.TotalSeconds;
        var body = seconds > 0 ? "{\"drain\":\"" + seconds.ToString(CultureInfo.InvariantCulture) + "s\"}" : "{}";
        var remaining = new List<Uri>();
        foreach (var admin in admins)
        {
            if (Ask(admin, HttpMethod.Post, "/deregister", body) == 200 && seconds > 0) remaining.Add(admin);
        }
        while (remaining.Count > 0)
        {
            Thread.Sleep(500);
            remaining.RemoveAll(admin => Ask(admin, HttpMethod.Post, "/heartbeat", Report()) != 200);
        }
    }

    /// <summary>Stops at once, unless it has stopped.</summary>
    public void Dispose()
    {
        Stop();
        http.Dispose();
        stop.Dispose();
    }

    private void Run()
    {
        var told = "";
        do
        {
            var outcome = "";
            foreach (var admin in admins)
            {
                outcome += (outcome.Length > 0 ? "; " : "") + Tell(admin);
            }
            // Repeats are not logged.
            if (outcome != told) Log(outcome);
            told = outcome;
        }
        while (!stop.WaitOne(TimeSpan.FromMilliseconds(Ttl.TotalMilliseconds / 3)));
    }

    private string Tell(Uri admin)
    {
        var report = Report();
        // Register first: the gateway may have an older address.
        var status = known.Contains(admin) ? Ask(admin, HttpMethod.Post, "/heartbeat", report) : 404;
        if (status == 404)
        {
            var ttl = ((long)Ttl.TotalMilliseconds).ToString(CultureInfo.InvariantCulture) + "ms";
            var spec = string.Format(CultureInfo.InvariantCulture,
                "{{\"address\":{0},\"weight\":{1},\"max_in_flight\":{2},\"ttl\":\"{3}\",\"report\":{4}}}",
                Quoted(address), Weight, MaxInFlight, ttl, report);
            status = Ask(admin, HttpMethod.Put, "", spec);
        }
        if (status == 200 || status == 201) known.Add(admin);
        switch (status)
        {
            case 0: return admin + " does not respond";
            case 200: case 201: return admin + " knows " + name;
            case 401: case 403: return admin + " refuses the token (" + status + ")";
            case 409: return admin + " keeps " + name + " away, which an operator removed";
            default: return admin + " refuses: " + status;
        }
    }

    /// <summary>The status; 0 without a response.</summary>
    private int Ask(Uri admin, HttpMethod method, string rest, string body)
    {
        try
        {
            var target = new Uri(admin, "/api/v1/upstreams/" + Uri.EscapeDataString(name) + rest);
            using (var request = new HttpRequestMessage(method, target))
            {
                request.Content = new StringContent(body, Encoding.UTF8, "application/json");
                if (TokenFile != null)
                {
                    var token = File.ReadAllText(TokenFile).Trim();
                    request.Headers.TryAddWithoutValidation("Authorization", "Bearer " + token);
                }
                // This thread is the agent's own, so no synchronization context can deadlock.
                using (var response = http.SendAsync(request).GetAwaiter().GetResult())
                {
                    return (int)response.StatusCode;
                }
            }
        }
        catch (Exception error) when (error is HttpRequestException || error is OperationCanceledException
            || error is IOException || error is UnauthorizedAccessException || error is WebException)
        {
            return 0;
        }
    }

    private string Report()
    {
        using (var process = Process.GetCurrentProcess())
        {
            return "{\"sessions\":" + Figure(Sessions) + ",\"memory_bytes\":" + Figure(Memory)
                + ",\"threads\":" + Figure(() => process.Threads.Count) + ",\"cpu\":" + Cpu(process) + "}";
        }
    }

    /// <summary>An exception in an application's delegate must not stop the heartbeats.</summary>
    private static string Figure(Func<long> figure)
    {
        try
        {
            var value = figure == null ? -1 : figure();
            return value < 0 ? "null" : value.ToString(CultureInfo.InvariantCulture);
        }
        catch (Exception)
        {
            return "null";
        }
    }

    /// <summary>Processor cores in use since the last report.</summary>
    private string Cpu(Process process)
    {
        var used = process.TotalProcessorTime;
        var looked = Stopwatch.GetTimestamp();
        var seconds = (looked - lastLooked) / (double)Stopwatch.Frequency;
        var cpu = lastLooked == 0 || seconds <= 0 ? -1 : (used - lastProcessorTime).TotalSeconds / seconds;
        lastProcessorTime = used;
        lastLooked = looked;
        return cpu < 0 ? "null" : cpu.ToString("0.###", CultureInfo.InvariantCulture);
    }

    private static string Quoted(string text)
    {
        return "\"" + text.Replace("\\", "\\\\").Replace("\"", "\\\"") + "\"";
    }
}
