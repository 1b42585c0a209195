using System;

namespace Homing
{
    // The native struct of an upstream, for configurations and plans.
    internal unsafe delegate int UpstreamCall(NativeUpstream* upstream);

    internal static unsafe class UpstreamCalls
    {
        internal static void With(this UpstreamCall call, string name, string address, int weight, int maxInFlight)
        {
            if (weight < 1)
            {
                throw new ArgumentOutOfRangeException(nameof(weight), weight, "use 1 to 65535");
            }
            if (maxInFlight < 0)
            {
                throw new ArgumentOutOfRangeException(nameof(maxInFlight), maxInFlight, "use 1 or more, or 0 for any number");
            }
            var nameBytes = Utf8.Bytes(name, nameof(name));
            var addressBytes = Utf8.Bytes(address, nameof(address));
            fixed (byte* nameText = nameBytes, addressText = addressBytes)
            {
                var native = new NativeUpstream
                {
                    Size = (UIntPtr)(uint)sizeof(NativeUpstream),
                    Name = nameText,
                    NameLength = (UIntPtr)(uint)nameBytes.Length,
                    Address = addressText,
                    AddressLength = (UIntPtr)(uint)addressBytes.Length,
                    Weight = (uint)weight,
                    MaxInFlight = (uint)maxInFlight,
                };
                HomingException.Check(call(&native));
            }
        }
    }
}
