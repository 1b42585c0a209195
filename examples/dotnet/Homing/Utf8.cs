using System;
using System.Text;

namespace Homing
{
    // Converts text in both directions. None of it is in unmanaged memory, so nothing has to be freed.
    internal static unsafe class Utf8
    {
        // Invalid text is refused, not replaced: it would become a different name.
        private static readonly UTF8Encoding Strict = new UTF8Encoding(false, true);

        internal delegate int Writer(byte* buffer, UIntPtr capacity, UIntPtr* length);

        internal static byte[] Bytes(string text, string parameter)
        {
            if (text == null)
            {
                throw new ArgumentNullException(parameter);
            }
            return Strict.GetBytes(text);
        }

        internal static byte[] BytesOrNone(string text)
        {
            return text == null ? Array.Empty<byte>() : Strict.GetBytes(text);
        }

        /// Header values come from the network, so invalid text is replaced: it cannot be a token.
        internal static int Copy(string text, byte* to, int capacity)
        {
            fixed (char* from = text)
            {
                return Encoding.UTF8.GetBytes(from, text.Length, to, capacity);
            }
        }

        internal static string Text(byte* bytes, int length)
        {
            return length == 0 ? string.Empty : Encoding.UTF8.GetString(bytes, length);
        }

        /// The text that a call writes, in a buffer of the size that the call needs.
        internal static string Read(Writer write)
        {
            var buffer = new byte[256];
            while (true)
            {
                UIntPtr length;
                int status;
                fixed (byte* to = buffer)
                {
                    status = write(to, (UIntPtr)(uint)buffer.Length, &length);
                    if (status >= 0)
                    {
                        return Text(to, (int)length);
                    }
                }
                if (status != (int)Status.Buffer)
                {
                    throw HomingException.Of(status);
                }
                // With spare room, because the text may become longer between two calls.
                buffer = new byte[(int)length + 256];
            }
        }

        internal static string LastError()
        {
            return Read(Native.homing_last_error);
        }
    }
}
