using System;
using System.Collections.Generic;
using System.Linq;
using System.Net;
using System.Net.Http;
using Homing;

namespace Gateway
{
    /// <summary>Forwards header fields, except those that belong to one connection.</summary>
    internal static class Fields
    {
        private static readonly HashSet<string> HopByHop = new HashSet<string>(StringComparer.OrdinalIgnoreCase)
        {
            "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
        };

        // HttpListener and HttpClient set these two themselves.
        private static readonly HashSet<string> Own = new HashSet<string>(StringComparer.OrdinalIgnoreCase) { "Host", "Content-Length" };

        internal static void Copy(HttpListenerRequest from, HttpRequestMessage to, Balancer balancer)
        {
            var named = Tokens(from.Headers["Connection"]);
            foreach (var name in from.Headers.AllKeys.Where(name => !HopByHop.Contains(name) && !Own.Contains(name) && !named.Contains(name)))
            {
                // The upstream has no use for the token, and it should not appear in its logs.
                var isCookie = string.Equals(name, "Cookie", StringComparison.OrdinalIgnoreCase);
                var value = isCookie ? balancer.StripCookie(from.Headers[name]) : from.Headers[name];
                if (value.Length > 0 && !to.Headers.TryAddWithoutValidation(name, value) && to.Content != null)
                {
                    to.Content.Headers.TryAddWithoutValidation(name, value);
                }
            }
            if (to.Content != null && from.ContentLength64 >= 0)
            {
                to.Content.Headers.ContentLength = from.ContentLength64;
            }
            to.Headers.Host = from.UserHostName;
            to.Headers.ExpectContinue = false;
            to.Headers.TryAddWithoutValidation("X-Forwarded-For", from.RemoteEndPoint.Address.ToString());
            to.Headers.TryAddWithoutValidation("X-Forwarded-Proto", from.IsSecureConnection ? "https" : "http");
        }

        internal static void Copy(HttpResponseMessage from, HttpListenerResponse to)
        {
            to.StatusCode = (int)from.StatusCode;
            to.StatusDescription = from.ReasonPhrase ?? string.Empty;
            foreach (var field in from.Headers.Concat(from.Content.Headers).Where(field => !HopByHop.Contains(field.Key) && !Own.Contains(field.Key)))
            {
                foreach (var value in field.Value)
                {
                    to.AppendHeader(field.Key, value);
                }
            }
        }

        private static HashSet<string> Tokens(string list)
        {
            return new HashSet<string>((list ?? string.Empty).Split(',').Select(token => token.Trim()), StringComparer.OrdinalIgnoreCase);
        }
    }
}
