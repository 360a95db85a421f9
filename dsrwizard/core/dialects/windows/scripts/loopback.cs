// The Microsoft loopback adapter by SetupAPI. Only C# 2, which is what PowerShell 2.0 compiles.
// `Register(mark)` gives the instance id of a device without driver, `Bind(id)` gives it the driver, `Remove(id)` takes it
// away; all throw with the Win32 code in hex. The mark is a second hardware id beside *MSLOOP, there before the device is
// known to anybody: whenever this ends, the device is found again by it, and class installers never rewrite it.
// SetupDiCreateDeviceInfoW (DICD_GENERATE_ID), hardware ids, DIF_REGISTERDEVICE, the driver of netloop.inf alone
// (DI_ENUMSINGLEINF), DiInstallDevice: so no other loopback adapter of the host is touched, as
// UpdateDriverForPlugAndPlayDevices would (Microsoft, "SetupAPI" and "DiInstallDevice").

using System;
using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Text;

public static class DsrLoopback
{
    [StructLayout(LayoutKind.Sequential)]
    private struct DeviceInfo
    {
        public int Size;
        public Guid Class;
        public int Instance;
        public IntPtr Reserved;
    }

    [StructLayout(LayoutKind.Sequential, CharSet = CharSet.Unicode)]
    private struct InstallParams
    {
        public int Size;
        public int Flags;
        public int FlagsEx;
        public IntPtr Parent;
        public IntPtr Handler;
        public IntPtr Context;
        public IntPtr Queue;
        public IntPtr ClassReserved;
        public int Reserved;
        [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 260)]
        public string DriverPath;
    }

    [StructLayout(LayoutKind.Sequential, CharSet = CharSet.Unicode)]
    private struct DriverInfo
    {
        public int Size;
        public int Type;
        public IntPtr Reserved;
        [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 256)]
        public string Description;
        [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 256)]
        public string Manufacturer;
        [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 256)]
        public string Provider;
        public int DateLow;
        public int DateHigh;
        public int VersionLow;
        public int VersionHigh;
    }

    [DllImport("setupapi.dll", SetLastError = true)]
    private static extern IntPtr SetupDiCreateDeviceInfoList(ref Guid cls, IntPtr parent);

    [DllImport("setupapi.dll", CharSet = CharSet.Unicode, ExactSpelling = true, SetLastError = true)]
    private static extern bool SetupDiCreateDeviceInfoW(IntPtr set, string name, ref Guid cls, string description,
        IntPtr parent, int flags, ref DeviceInfo info);

    [DllImport("setupapi.dll", CharSet = CharSet.Unicode, ExactSpelling = true, SetLastError = true)]
    private static extern bool SetupDiSetDeviceRegistryPropertyW(IntPtr set, ref DeviceInfo info, int property,
        byte[] buffer, int size);

    [DllImport("setupapi.dll", SetLastError = true)]
    private static extern bool SetupDiCallClassInstaller(int function, IntPtr set, ref DeviceInfo info);

    [DllImport("setupapi.dll", CharSet = CharSet.Unicode, ExactSpelling = true, SetLastError = true)]
    private static extern bool SetupDiGetDeviceInstanceIdW(IntPtr set, ref DeviceInfo info, StringBuilder id, int size,
        out int needed);

    [DllImport("setupapi.dll", CharSet = CharSet.Unicode, ExactSpelling = true, SetLastError = true)]
    private static extern bool SetupDiGetDeviceInstallParamsW(IntPtr set, ref DeviceInfo info,
        ref InstallParams settings);

    [DllImport("setupapi.dll", CharSet = CharSet.Unicode, ExactSpelling = true, SetLastError = true)]
    private static extern bool SetupDiSetDeviceInstallParamsW(IntPtr set, ref DeviceInfo info,
        ref InstallParams settings);

    [DllImport("setupapi.dll", SetLastError = true)]
    private static extern bool SetupDiBuildDriverInfoList(IntPtr set, ref DeviceInfo info, int type);

    [DllImport("setupapi.dll", CharSet = CharSet.Unicode, ExactSpelling = true, SetLastError = true)]
    private static extern bool SetupDiEnumDriverInfoW(IntPtr set, ref DeviceInfo info, int type, int index,
        ref DriverInfo driver);

    [DllImport("setupapi.dll", CharSet = CharSet.Unicode, ExactSpelling = true, SetLastError = true)]
    private static extern bool SetupDiSetSelectedDriverW(IntPtr set, ref DeviceInfo info, ref DriverInfo driver);

    [DllImport("setupapi.dll", CharSet = CharSet.Unicode, ExactSpelling = true, SetLastError = true)]
    private static extern bool SetupDiOpenDeviceInfoW(IntPtr set, string id, IntPtr parent, int flags,
        ref DeviceInfo info);

    [DllImport("setupapi.dll", SetLastError = true)]
    private static extern bool SetupDiDestroyDeviceInfoList(IntPtr set);

    [DllImport("newdev.dll", SetLastError = true)]
    private static extern bool DiInstallDevice(IntPtr parent, IntPtr set, ref DeviceInfo info, ref DriverInfo driver,
        int flags, out bool reboot);

    private const int GenerateId = 1;
    private const int HardwareId = 1;
    private const int RegisterDevice = 0x19;
    private const int RemoveDevice = 5;
    private const int EnumerateSingleInf = 0x10000;
    private const int CompatibleDrivers = 2;

    private static void Check(bool worked, string what)
    {
        if (!worked)
        {
            int code = Marshal.GetLastWin32Error();
            throw new Win32Exception(code, what + " failed with 0x" + code.ToString("X8"));
        }
    }

    private static DeviceInfo NewInfo()
    {
        DeviceInfo info = new DeviceInfo();
        info.Size = Marshal.SizeOf(typeof(DeviceInfo));
        return info;
    }

    private static readonly Guid Net = new Guid("4d36e972-e325-11ce-bfc1-08002be10318");

    private static IntPtr NewSet()
    {
        Guid cls = Net;
        IntPtr set = SetupDiCreateDeviceInfoList(ref cls, IntPtr.Zero);
        Check(set != new IntPtr(-1), "SetupDiCreateDeviceInfoList");
        return set;
    }

    public static string Register(string mark)
    {
        Guid cls = Net;
        IntPtr set = NewSet();
        DeviceInfo info = NewInfo();
        bool registered = false;
        try
        {
            Check(SetupDiCreateDeviceInfoW(set, "Net", ref cls, null, IntPtr.Zero, GenerateId, ref info),
                "SetupDiCreateDeviceInfo");
            byte[] ids = Encoding.Unicode.GetBytes("*MSLOOP\0" + mark + "\0\0");
            Check(SetupDiSetDeviceRegistryPropertyW(set, ref info, HardwareId, ids, ids.Length),
                "SetupDiSetDeviceRegistryProperty");
            Check(SetupDiCallClassInstaller(RegisterDevice, set, ref info), "DIF_REGISTERDEVICE");
            registered = true;
            StringBuilder instance = new StringBuilder(512);
            int needed;
            Check(SetupDiGetDeviceInstanceIdW(set, ref info, instance, instance.Capacity, out needed),
                "SetupDiGetDeviceInstanceId");
            registered = false;
            return instance.ToString();
        }
        finally
        {
            if (registered)
            {
                SetupDiCallClassInstaller(RemoveDevice, set, ref info);
            }
            SetupDiDestroyDeviceInfoList(set);
        }
    }

    public static void Bind(string id)
    {
        string inf = Environment.GetEnvironmentVariable("windir") + @"\inf\netloop.inf";
        IntPtr set = NewSet();
        DeviceInfo info = NewInfo();
        try
        {
            Check(SetupDiOpenDeviceInfoW(set, id, IntPtr.Zero, 0, ref info), "SetupDiOpenDeviceInfo");
            InstallParams settings = new InstallParams();
            settings.Size = Marshal.SizeOf(typeof(InstallParams));
            Check(SetupDiGetDeviceInstallParamsW(set, ref info, ref settings), "SetupDiGetDeviceInstallParams");
            settings.Flags |= EnumerateSingleInf;
            settings.DriverPath = inf;
            Check(SetupDiSetDeviceInstallParamsW(set, ref info, ref settings), "SetupDiSetDeviceInstallParams");
            Check(SetupDiBuildDriverInfoList(set, ref info, CompatibleDrivers), "SetupDiBuildDriverInfoList");
            DriverInfo driver = new DriverInfo();
            driver.Size = Marshal.SizeOf(typeof(DriverInfo));
            Check(SetupDiEnumDriverInfoW(set, ref info, CompatibleDrivers, 0, ref driver), "SetupDiEnumDriverInfo");
            Check(SetupDiSetSelectedDriverW(set, ref info, ref driver), "SetupDiSetSelectedDriver");
            bool reboot;
            Check(DiInstallDevice(IntPtr.Zero, set, ref info, ref driver, 0, out reboot), "DiInstallDevice");
        }
        finally
        {
            SetupDiDestroyDeviceInfoList(set);
        }
    }

    public static void Remove(string id)
    {
        IntPtr set = NewSet();
        DeviceInfo info = NewInfo();
        try
        {
            Check(SetupDiOpenDeviceInfoW(set, id, IntPtr.Zero, 0, ref info), "SetupDiOpenDeviceInfo");
            Check(SetupDiCallClassInstaller(RemoveDevice, set, ref info), "DIF_REMOVE");
        }
        finally
        {
            SetupDiDestroyDeviceInfoList(set);
        }
    }
}
