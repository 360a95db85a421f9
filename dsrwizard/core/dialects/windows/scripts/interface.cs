// Settings of an interface that Windows Server 2008 has no cmdlet for. Only C# 2, which is what PowerShell 2.0 compiles.
// `Read(2 or 23, index)` gives weak-host receive, weak-host send, automatic metric, DadTransmits, metric and router
// discovery; nothing where the interface has no such family. Layout of MIB_IPINTERFACE_ROW: netioapi.h, the same on 32
// and 64 bit.

using System;
using System.Runtime.InteropServices;

public static class DsrInterface
{
    [DllImport("iphlpapi.dll")]
    private static extern int GetIpInterfaceEntry(IntPtr row);

    public static int[] Read(int family, int index)
    {
        IntPtr row = Marshal.AllocHGlobal(168);
        try
        {
            for (int at = 0; at < 168; at++)
            {
                Marshal.WriteByte(row, at, 0);
            }
            Marshal.WriteInt16(row, 0, (short)family);
            Marshal.WriteInt32(row, 16, index);
            if (GetIpInterfaceEntry(row) != 0)
            {
                return new int[0];
            }
            return new int[] {
                Marshal.ReadByte(row, 43), Marshal.ReadByte(row, 42), Marshal.ReadByte(row, 44),
                Marshal.ReadInt32(row, 56), Marshal.ReadInt32(row, 148), Marshal.ReadInt32(row, 52)
            };
        }
        finally
        {
            Marshal.FreeHGlobal(row);
        }
    }
}
