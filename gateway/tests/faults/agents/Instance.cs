using System;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Threading;

/// <summary>
/// A small stateful application with the agent: `Instance NAME ADMIN TTL_SECONDS TOKEN_FILE`. It prints its address, answers
/// every request with its name, and has as many sessions as it was sent requests. A line on its standard input ends it politely:
/// so many seconds of draining.
/// </summary>
internal static class Instance
{
    private static long sessions;

    private static void Main(string[] arguments)
    {
        var name = arguments[0];
        var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var serving = new Thread(() => Serve(listener, name)) { IsBackground = true };
        serving.Start();
        var agent = new HomingAgent(name, listener.LocalEndpoint.ToString(), new Uri(arguments[1]))
        {
            Ttl = TimeSpan.FromSeconds(int.Parse(arguments[2])),
            TokenFile = arguments.Length > 3 ? arguments[3] : null,
            Sessions = () => Interlocked.Read(ref sessions),
            Log = line => Console.Error.WriteLine("agent: " + line),
        };
        agent.Start();
        Console.WriteLine(listener.LocalEndpoint);
        Console.Out.Flush();
        agent.Stop(TimeSpan.FromSeconds(int.Parse(Console.ReadLine())));
        agent.Dispose();
    }

    private static void Serve(TcpListener listener, string name)
    {
        while (true)
        {
            var client = listener.AcceptTcpClient();
            ThreadPool.QueueUserWorkItem(_ =>
            {
                try
                {
                    Answer(client, name);
                }
                catch (IOException)
                {
                    // A probe connects and goes.
                }
            });
        }
    }

    private static void Answer(TcpClient client, string name)
    {
        using (client)
        using (var reader = new StreamReader(client.GetStream()))
        using (var writer = new StreamWriter(client.GetStream()))
        {
            if (reader.ReadLine() == null) return;
            while (!string.IsNullOrEmpty(reader.ReadLine())) { }
            Interlocked.Increment(ref sessions);
            writer.Write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + name.Length + "\r\n\r\n" + name);
        }
    }
}
