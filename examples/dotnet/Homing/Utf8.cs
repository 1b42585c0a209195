using System;
using System.Text;

namespace Homing
{
    // Text in both directions. None of it is ever in unmanaged memory of ours, so there is none to free.
    internal static unsafe class Utf8
    {
        // Bytes that are no UTF-8 would be another name than the one that was meant: they are refused and not replaced.
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

        /// Header values come from the network, so what is no text is replaced here: it is no token either.
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

        /// What a call writes, with as large a buffer as it wants.
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
                // Room to spare: what is described goes on changing.
                buffer = new byte[(int)length + 256];
            }
        }

        internal static string LastError()
        {
            return Read(Native.homing_last_error);
        }
    }
}
