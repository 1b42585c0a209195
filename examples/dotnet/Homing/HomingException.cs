using System;

namespace Homing
{
    /// <summary>A call of the library failed: <see cref="Status"/> for programs, the message for people.</summary>
    public sealed class HomingException : Exception
    {
        /// <summary>Makes one of a status and the words for it.</summary>
        /// <param name="status">What the call came to.</param>
        /// <param name="message">What went wrong and what to do.</param>
        public HomingException(Status status, string message)
            : base(message)
        {
            Status = status;
        }

        /// <summary>What the call came to.</summary>
        public Status Status { get; }

        // The text is the calling thread's own, so it is read before anything else is called.
        internal static HomingException Of(int status)
        {
            var text = Utf8.LastError();
            return new HomingException((Status)status, text.Length > 0 ? text : "homing: " + (Status)status);
        }

        internal static int Check(int status)
        {
            return status >= 0 ? status : throw Of(status);
        }
    }
}
