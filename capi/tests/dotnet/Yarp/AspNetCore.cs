// Stand-ins for the types of ASP.NET Core 8 that the policies use, with its names and signatures. They store what a
// test sets, and do nothing else unless a comment says so. ASP.NET Core and YARP are available from NuGet only, which
// the tests do not use.

using System;
using System.Collections;
using System.Collections.Generic;
using System.Linq;
using System.Net;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Extensions.Primitives;

namespace Microsoft.Extensions.Primitives
{
    public readonly struct StringValues : IEnumerable<string?>
    {
        private readonly string?[]? values;

        public StringValues(string?[]? values) => this.values = values;

        public static implicit operator StringValues(string? value) => new(value is null ? null : [value]);

        public string?[] ToArray() => values ?? [];

        public IEnumerator<string?> GetEnumerator() => ToArray().AsEnumerable().GetEnumerator();

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
    }
}

namespace Microsoft.AspNetCore.Http.Features
{
    public interface IFeatureCollection
    {
        TFeature? Get<TFeature>();

        void Set<TFeature>(TFeature? instance);
    }

    public class FeatureCollection : IFeatureCollection
    {
        private readonly Dictionary<Type, object?> features = [];

        public TFeature? Get<TFeature>() => features.TryGetValue(typeof(TFeature), out var feature) ? (TFeature?)feature : default;

        public void Set<TFeature>(TFeature? instance) => features[typeof(TFeature)] = instance;
    }
}

namespace Microsoft.AspNetCore.Http
{
    using Microsoft.AspNetCore.Http.Features;

    public enum SameSiteMode
    {
        Unspecified = -1,
        None = 0,
        Lax = 1,
        Strict = 2,
    }

    public enum CookieSecurePolicy
    {
        SameAsRequest,
        Always,
        None,
    }

    public interface IHeaderDictionary : IDictionary<string, StringValues>
    {
        StringValues Cookie { get => TryGetValue("Cookie", out var value) ? value : default; set => this["Cookie"] = value; }
    }

    public class HeaderDictionary : Dictionary<string, StringValues>, IHeaderDictionary
    {
        public HeaderDictionary()
            : base(StringComparer.OrdinalIgnoreCase)
        {
        }
    }

    public static class HeaderDictionaryExtensions
    {
        public static void Append(this IHeaderDictionary headers, string key, StringValues value) =>
            headers[key] = new StringValues(headers.TryGetValue(key, out var before) ? [.. before, .. value] : value.ToArray());
    }

    public abstract class ConnectionInfo
    {
        public abstract IPAddress? RemoteIpAddress { get; set; }
    }

    public abstract class HttpRequest
    {
        public abstract bool IsHttps { get; set; }

        public abstract IHeaderDictionary Headers { get; }
    }

    public abstract class HttpResponse
    {
        public abstract int StatusCode { get; set; }

        public abstract IHeaderDictionary Headers { get; }

        public abstract void OnCompleted(Func<object, Task> callback, object state);
    }

    public abstract class HttpContext
    {
        public abstract IFeatureCollection Features { get; }

        public abstract HttpRequest Request { get; }

        public abstract HttpResponse Response { get; }

        public abstract ConnectionInfo Connection { get; }

        public abstract IDictionary<object, object?> Items { get; set; }

        public abstract CancellationToken RequestAborted { get; set; }
    }
}
