/* SPDX-License-Identifier: Apache-2.0 */
/* What `check --host` says of machines whose /proc and /sys were written by hand. */
#include "tests/help/program.h"
#include "tests/help/test.h"

#include "understudy/base/host.h"

static const char *root;

static void put(const char *path, const char *content)
{
    const char *at = help_print("%s%s", root, path);

    help_run(help_print("mkdir -p %.*s", (int)(strrchr(at, '/') - at), at));
    help_write(at, content);
}

static int setup(void **state)
{
    root = help_directory();
    put("/proc/sys/kernel/osrelease", "6.1.0-30-amd64\n");
    put("/proc/stat", "cpu  900 0 60 30 0 0 0 10 0 0\ncpu0 1 2 3\n");
    put("/proc/meminfo",
        "MemTotal: 8000000 kB\nMemAvailable: 4194304 kB\nHugePages_Free: 0\nHugepagesize: 2048 kB\n");
    put("/sys/devices/system/cpu/online", "0-3\n");
    put("/sys/devices/system/cpu/isolated", "1-3\n");
    put("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
    put("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
        "always within_size [advise] never deny force\n");
    put("/sys/class/dmi/id/sys_vendor", "Dell Inc.\n");
    put("/sys/class/net/eth1/operstate", "up\n");
    return 0;
}

static const struct nd_host_line *line_of(const char *what)
{
    static struct nd_host host;
    static const char *const names[] = {"eth1", "eth9", NULL};

    nd_host_look(&host, root, names);
    for (unsigned i = 0; i < host.count; i++)
        if (strcmp(host.line[i].what, what) == 0)
            return &host.line[i];
    fail_msg("no line of %s", what);
    return NULL;
}

static void is(const char *what, enum nd_host_verdict verdict, const char *text)
{
    const struct nd_host_line *l = line_of(what);

    assert_string_equal(l->is, text);
    assert_int_equal(l->verdict, verdict);
    assert_int_equal(l->do_this[0] == '\0', verdict == ND_HOST_FIT);
}

TEST_WITH(a_good_machine_has_nothing_to_do, setup, NULL)
{
    is("kernel", ND_HOST_FIT, "6.1.0-30-amd64");
    is("cores", ND_HOST_FIT, "0-3");
    is("isolated cores", ND_HOST_FIT, "1-3");
    is("steal time", ND_HOST_NOTE, "1.0 %");
    is("clock", ND_HOST_FIT, "tsc");
    is("memory", ND_HOST_FIT, "4096 MB free");
    is("huge pages", ND_HOST_FIT, "0 free of 2 MB; transparent for shared memory: yes");
    is("network's rules", ND_HOST_FIT, "Dell Inc.");
    is("interface", ND_HOST_FIT, "eth1: no driver of a device");
}

TEST_WITH(a_small_machine_of_a_cloud_is_told_what_it_lacks, setup, NULL)
{
    put("/proc/meminfo", "MemAvailable: 102400 kB\n");
    put("/sys/devices/system/cpu/online", "0\n");
    put("/sys/devices/system/clocksource/clocksource0/current_clocksource", "acpi_pm\n");
    put("/sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc acpi_pm\n");
    put("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
        "always within_size advise [never] deny force\n");
    put("/sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
    put("/proc/sys/net/ipv4/conf/eth1/rp_filter", "1\n");
    is("cores", ND_HOST_NOTE, "0");
    is("clock", ND_HOST_NOTE, "acpi_pm");
    assert_non_null(strstr(line_of("clock")->do_this, "echo tsc"));
    is("memory", ND_HOST_UNFIT, "100 MB free");
    is("huge pages", ND_HOST_NOTE, "0 free of 0 MB; transparent for shared memory: no");
    is("network's rules", ND_HOST_UNFIT, "Amazon EC2");
    is("reverse path", ND_HOST_NOTE, "eth1: strict");
}
