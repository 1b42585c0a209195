using System;

namespace Homing
{
    /// <summary>A call of the library failed: <see cref="Status"/> for programs, the message for people.</summary>
    public sealed class HomingException : Exception
    {
        /// <summary>Creates an exception from a status and its text.</summary>
        /// <param name="status">The status of the call.</param>
        /// <param name="message">What went wrong and what to do.</param>
        public HomingException(Status status, string message)
            : base(message)
        {
            Status = status;
        }

        /// <summary>The status of the call.</summary>
        public Status Status { get; }

        // The text is kept per thread and replaced by the next error, so it is read before another call.
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
