using System;

namespace Homing
{
    // The names of upstreams as strings, each created once: an id stays the same while its name does.
    internal sealed class UpstreamNames
    {
        private sealed class Entry
        {
            internal ulong Id;
            internal string Name;
        }

        private readonly object growth = new object();
        private volatile Entry[] entries = new Entry[0];

        internal unsafe string Of(uint index, ulong id, byte* name, int length)
        {
            var known = entries;
            if (index < known.Length)
            {
                var entry = known[index];
                if (entry != null && entry.Id == id)
                {
                    return entry.Name;
                }
            }
            return Add(index, id, Utf8.Text(name, length));
        }

        // Entries do not change after they are published, so readers need no lock.
        private string Add(uint index, ulong id, string name)
        {
            lock (growth)
            {
                var next = new Entry[Math.Max(entries.Length, (int)index + 1)];
                Array.Copy(entries, next, entries.Length);
                next[index] = new Entry { Id = id, Name = name };
                entries = next;
            }
            return name;
        }
    }
}
