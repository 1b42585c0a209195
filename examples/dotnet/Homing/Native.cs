using System;
using System.Runtime.InteropServices;
using System.Security;

namespace Homing
{
    // include/homing.h, function by function and struct by struct. All types are blittable, so no marshalling code
    // copies or converts.
    [SuppressUnmanagedCodeSecurity]
    internal static unsafe class Native
    {
        internal const string Library = "homing";
        internal const uint AbiVersion = 1;
        internal const int TokenLength = 56;
        internal const int NameMax = 255;
        internal const uint NoIndex = uint.MaxValue;

        internal const uint RequestHttps = 1;
        internal const uint RequestCanWait = 2;

#if NET
        static Native()
        {
            NativeLoader.Register();
        }
#endif

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern uint homing_abi_version();

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_version(byte* buffer, UIntPtr capacity, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_last_error(byte* buffer, UIntPtr capacity, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_decision_name(int decision, byte* buffer, UIntPtr capacity, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_set_log(IntPtr log, IntPtr user);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_keyring_generate(byte* pool, UIntPtr poolLength, ulong* ring);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_keyring_load(byte* path, UIntPtr pathLength, ulong* ring);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_keyring_new(byte* pool, UIntPtr poolLength, byte* identity, UIntPtr identityLength, ulong* ring);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_keyring_add(ulong ring, byte id, byte* secret, UIntPtr secretLength, int sign);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_keyring_free(ulong ring);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_config_new(ulong* config);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_config_parse(byte* toml, UIntPtr tomlLength, ulong* config);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_config_upstream(ulong config, NativeUpstream* upstream);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_config_policy(ulong config, byte* name, UIntPtr nameLength);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_config_policy_param(ulong config, byte* name, UIntPtr nameLength, byte* value, UIntPtr valueLength);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_config_affinity(ulong config, NativeAffinity* options);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_config_health(ulong config, NativeHealth* options);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_config_seed(ulong config, ulong seed);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_config_free(ulong config);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_balancer_new(ulong config, ulong ring, ulong* balancer);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_balancer_free(ulong balancer);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_balancer_set_keys(ulong balancer, ulong ring);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_balancer_upstreams(ulong balancer, UIntPtr* count, ulong* generation);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_pick(
            ulong balancer, NativeRequest* request, NativePick* result,
            byte* name, UIntPtr nameCapacity, UIntPtr* nameLength,
            byte* setCookie, UIntPtr setCookieCapacity, UIntPtr* setCookieLength);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_set_cookie_max(ulong balancer, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_open(ulong balancer, NativeRequest* request, NativeOpened* result);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_lease(ulong balancer, ulong id, ulong session, int decision, ulong now, ulong* lease);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_token_for(
            ulong balancer, ulong id, ulong session, NativeRequest* request, byte* token, UIntPtr capacity, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_strip_cookie(
            ulong balancer, byte* cookie, UIntPtr cookieLength, byte* buffer, UIntPtr capacity, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_address(ulong balancer, ulong id, byte* buffer, UIntPtr capacity, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_set_cookie(
            ulong balancer, byte* token, UIntPtr tokenLength, uint flags, byte* buffer, UIntPtr capacity, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_explain(ulong balancer, NativeRequest* request, byte* buffer, UIntPtr capacity, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_finish(ulong balancer, ulong lease, int outcome, ulong latencyMicroseconds, ulong now);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_report(ulong balancer, ulong lease, int outcome, ulong latencyMicroseconds, ulong now);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_probe(ulong balancer, ulong id, int result, ushort httpStatus, ulong now);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_tick(ulong balancer, ulong now);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_drain(ulong balancer, ulong id, ulong deadline, ulong now);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_resume(ulong balancer, ulong id, ulong now);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_departure(ulong balancer, ulong id, ulong session, ulong* at);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_set_incarnation(ulong balancer, ulong id, ushort incarnation, ulong now);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_set_health(ulong balancer, ulong id, int accepting, int serving);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_plan_new(ulong balancer, ulong* plan);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_plan_put(ulong plan, NativeUpstream* upstream);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_plan_remove(ulong plan, byte* name, UIntPtr nameLength);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_plan_clear(ulong plan);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_plan_explain(ulong plan, ulong now, byte* buffer, UIntPtr capacity, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_plan_apply(ulong plan, ulong* generation);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_plan_free(ulong plan);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_status(
            ulong balancer, uint index, ulong now, NativeStatus* status, byte* name, UIntPtr nameCapacity, UIntPtr* nameLength);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_find(ulong balancer, byte* name, UIntPtr nameLength, ulong* id, uint* index);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_status_json(ulong balancer, ulong now, byte* buffer, UIntPtr capacity, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_events_new(ulong balancer, ulong* events);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_events_next(ulong events, NativeEvent* next, byte* text, UIntPtr capacity, UIntPtr* length);

        [DllImport(Library, ExactSpelling = true, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int homing_events_free(ulong events);
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeUpstream
    {
        internal UIntPtr Size;
        internal byte* Name;
        internal UIntPtr NameLength;
        internal byte* Address;
        internal UIntPtr AddressLength;
        internal uint Weight;
        internal uint MaxInFlight;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeAffinity
    {
        internal UIntPtr Size;
        internal ulong MaxAge;
        internal ulong Idle;
        internal ulong LiveWindow;
        internal int OnUnavailable;
        internal int OnFull;
        internal int OnRestart;
        internal int SameSite;
        internal int Secure;
        internal int Partitioned;
        internal byte* Cookie;
        internal UIntPtr CookieLength;
        internal byte* Domain;
        internal UIntPtr DomainLength;
        internal byte* Path;
        internal UIntPtr PathLength;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeHealth
    {
        internal UIntPtr Size;
        internal uint Fall;
        internal uint Rise;
        internal uint Consecutive;
        internal uint FailoverRate;
        internal ulong Base;
        internal ulong Max;
        internal ulong Silence;
        internal ulong SlowStart;
        internal ulong Hold;
        internal ulong DrainSpread;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeRequest
    {
        internal UIntPtr Size;
        internal ulong Now;
        internal ulong Generation;
        internal byte* Client;
        internal UIntPtr ClientLength;
        internal byte* Key;
        internal UIntPtr KeyLength;
        internal byte* Cookie;
        internal UIntPtr CookieLength;
        internal byte* Token;
        internal UIntPtr TokenLength;
        internal ulong* Tried;
        internal UIntPtr TriedLength;
        internal byte* Eligible;
        internal UIntPtr EligibleLength;
        internal uint Flags;
        internal uint Reserved;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativePick
    {
        internal UIntPtr Size;
        internal ulong Lease;
        internal ulong Generation;
        internal ulong Id;
        internal ulong Session;
        internal ulong RetryAt;
        internal uint Index;
        internal int Decision;
        internal uint TokenLength;
        internal uint Reserved;
        internal fixed byte Token[Native.TokenLength];
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeOpened
    {
        internal UIntPtr Size;
        internal ulong Generation;
        internal ulong Id;
        internal ulong Session;
        internal uint Index;
        internal int Decision;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeStatus
    {
        internal UIntPtr Size;
        internal ulong Generation;
        internal ulong Id;
        internal ulong Requests;
        internal ulong Since;
        internal ulong Latency;
        internal uint Weight;
        internal uint MaxInFlight;
        internal uint InFlight;
        internal uint LiveSessions;
        internal int State;
        internal int Accepting;
        internal int Serving;
        internal uint Incarnation;
        internal fixed ulong Decided[32];
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeEvent
    {
        internal UIntPtr Size;
        internal ulong At;
        internal ulong Missed;
        internal int Kind;
        internal int From;
        internal int To;
        internal uint NameLength;
    }
}
