using System;
using System.Collections.Generic;
using System.Net;
using System.Threading;
using Homing;

namespace Gateway
{
    internal static class Program
    {
        private const string Usage =
            "usage: Gateway PREFIX NAME=HOST:PORT... [--keys FILE] [--policy NAME]\n" +
            "  PREFIX   where to listen: http://127.0.0.1:8080/, http://*:8080/, or with port 0 for a free one\n" +
            "  --keys   the key file to share with other gateways; created where absent. Without it, sessions end with this process";

        private static int Main(string[] arguments)
        {
            string prefix = null;
            string keyFile = null;
            var policy = "least_sessions";
            var upstreams = new Dictionary<string, string>();
            for (var i = 0; i < arguments.Length; i++)
            {
                var argument = arguments[i];
                var equals = argument.IndexOf('=');
                if (argument == "--keys" && i + 1 < arguments.Length)
                {
                    keyFile = arguments[++i];
                }
                else if (argument == "--policy" && i + 1 < arguments.Length)
                {
                    policy = arguments[++i];
                }
                else if (prefix == null)
                {
                    prefix = argument;
                }
                else if (equals > 0)
                {
                    upstreams[argument.Substring(0, equals)] = argument.Substring(equals + 1);
                }
                else
                {
                    upstreams.Clear();
                    break;
                }
            }
            if (upstreams.Count == 0)
            {
                Console.Error.WriteLine(Usage);
                return 2;
            }
            Library.SetLog((level, text) => Console.Error.WriteLine(level + ": " + text));
            try
            {
                using (var keys = keyFile == null ? KeyRing.Generate("gateway") : KeyRing.Load(keyFile))
                using (var config = new BalancerConfig())
                {
                    foreach (var upstream in upstreams)
                    {
                        config.Upstream(upstream.Key, upstream.Value);
                    }
                    using (var balancer = config.Policy(policy).Build(keys))
                    using (new Timer(_ => balancer.Tick(), null, 100, 100))
                    {
                        Serve(prefix, new StickyFront(balancer, new Forwarder(balancer)));
                    }
                }
                return 0;
            }
            catch (HomingException error)
            {
                Console.Error.WriteLine(error.Message);
                return 1;
            }
        }

        private static void Serve(string prefix, StickyFront front)
        {
            using (var listener = Listen(prefix, out var address))
            {
                Console.WriteLine("listening on " + address);
                front.Run(listener).GetAwaiter().GetResult();
            }
        }

        // HttpListener does not support port 0, so a free port is looked up, again if another program took it first.
        private static HttpListener Listen(string prefix, out string address)
        {
            for (var tries = 10;; tries--)
            {
                address = prefix.Replace(":0/", ":" + FreePort() + "/");
                var listener = new HttpListener();
                listener.Prefixes.Add(address);
                try
                {
                    listener.Start();
                    return listener;
                }
                catch (Exception error) when (address != prefix && tries > 1 && (error is HttpListenerException || error is System.Net.Sockets.SocketException))
                {
                    listener.Close();
                }
            }
        }

        private static int FreePort()
        {
            var probe = new System.Net.Sockets.TcpListener(IPAddress.Loopback, 0);
            probe.Start();
            try
            {
                return ((IPEndPoint)probe.LocalEndpoint).Port;
            }
            finally
            {
                probe.Stop();
            }
        }
    }
}
