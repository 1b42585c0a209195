using System;
using System.Collections.Generic;
using Homing;

namespace Tests
{
    internal sealed class CheckException : Exception
    {
        internal CheckException(string message)
            : base(message)
        {
        }
    }

    internal static class Check
    {
        internal static void That(bool holds, string what)
        {
            if (!holds)
            {
                throw new CheckException(what);
            }
        }

        internal static void Equal<T>(T expected, T found)
        {
            That(EqualityComparer<T>.Default.Equals(expected, found), "expected " + expected + ", found " + found);
        }

        internal static void Contains(string part, string whole)
        {
            That(whole.Contains(part), "expected \"" + part + "\" in \"" + whole + "\"");
        }

        internal static T Throws<T>(Action action)
            where T : Exception
        {
            try
            {
                action();
            }
            catch (T error)
            {
                return error;
            }
            throw new CheckException("expected " + typeof(T).Name + ", nothing was thrown");
        }

        /// The status, and words that say what is wrong.
        internal static void Fails(Status status, string words, Action action)
        {
            var error = Throws<HomingException>(action);
            Equal(status, error.Status);
            Contains(words, error.Message);
        }
    }
}
