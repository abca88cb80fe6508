/* sandbox.c - see sandbox.h. The kernel's numbers are written down here: Debian 12's headers know the first
 * version of Landlock only, and programs run on newer kernels than they were built for. */
#include "sandbox.h"
#include "base/error.h"
#include "common/share.h"
#include "base/library.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- Landlock: files, TCP ports, signals ----------------------------------------------------- */
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446, PATH_BENEATH = 1, VERSION = 1 };
enum {
    WRITE_FILE = 1 << 1,
    READ_FILE = 1 << 2,
    READ_DIR = 1 << 3,
    REMOVE_FILE = 1 << 5,
    MAKE_REG = 1 << 8,
    TRUNCATE = 1 << 14,                 /* from version 3 on */
    FS_1 = (1 << 13) - 1, FS_2 = 1 << 13, /* all of version 1; moving between folders */
    BIND_AND_CONNECT = 3,               /* from version 4 on */
    ABSTRACT_SOCKETS_AND_SIGNALS = 3    /* from version 6 on */
};
typedef struct ruleset { uint64_t fs, net, scoped; } ruleset;
typedef struct beneath { uint64_t fs; int32_t fd; } __attribute__((packed)) beneath;

static const char *const system_folders[] = { "/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev" };

static void allow(int rules, const char *path, uint64_t fs, uint64_t handled)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return; /* what isn't there needs no rule */
    if (fstat(fd, &st) || !S_ISDIR(st.st_mode)) fs &= WRITE_FILE | READ_FILE | TRUNCATE;
    const beneath b = { fs & handled, fd };
    syscall(ADD_RULE, rules, PATH_BENEATH, &b, 0);
    close(fd);
}

static int enter_landlock(const goss_srv_sandbox *s)
{
    const long version = syscall(CREATE_RULESET, NULL, 0, VERSION);
    if (version < 1) return -1;
    const ruleset r = { (uint64_t)FS_1 | (version > 1 ? FS_2 : 0) | (version > 2 ? TRUNCATE : 0),
                        version > 3 ? BIND_AND_CONNECT : 0, version > 5 ? ABSTRACT_SOCKETS_AND_SIGNALS : 0 };
    const size_t size = version > 5 ? 24 : version > 3 ? 16 : 8;
    const int rules = (int)syscall(CREATE_RULESET, &r, size, 0);
    if (rules < 0) return -1;
    const uint64_t read = READ_FILE | READ_DIR;
    for (size_t i = 0; i < sizeof system_folders / sizeof *system_folders; i++)
        allow(rules, system_folders[i], read, r.fs);
    allow(rules, s->device ? "/dev" : "/dev/null", read | WRITE_FILE, r.fs);
    for (int i = 0; i < s->n_read; i++) allow(rules, s->read[i], read, r.fs);
    for (int i = 0; i < s->n_write; i++)
        allow(rules, s->write[i], read | WRITE_FILE | REMOVE_FILE | MAKE_REG | TRUNCATE, r.fs);
    const long rc = syscall(RESTRICT_SELF, rules, 0);
    close(rules);
    return rc ? -1 : 0;
}

/* ---- seccomp: calls -------------------------------------------------------------------------- */
/* Refused with EPERM: programs, sockets, other processes' memory, the system's state, and what of the kernel
 * is seldom used and often attacked. */
static const int refused[] = {
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_socket,
    SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot,
    SYS_setns, SYS_unshare, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_keyctl, SYS_add_key,
    SYS_request_key, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_reboot,
    SYS_swapon, SYS_swapoff, SYS_open_by_handle_at, SYS_acct, SYS_quotactl, SYS_personality, SYS_syslog,
    SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_mknodat, 425 /* io_uring_setup */,
    438 /* pidfd_getfd */,
#ifdef SYS_fork
    SYS_fork, SYS_vfork, SYS_mknod,
#endif
};
enum { N_REFUSED = sizeof refused / sizeof *refused, CLONE3 = 435, THREAD = 0x10000 };
#if defined(__x86_64__)
enum { MACHINE = (int)AUDIT_ARCH_X86_64, OTHER_ABI = 0x40000000 }; /* x32's numbers begin there */
#else
enum { MACHINE = (int)AUDIT_ARCH_AARCH64, OTHER_ABI = 0x7fffffff };
#endif

static int enter_seccomp(void)
{
    const uint32_t allow_it = SECCOMP_RET_ALLOW, refuse = SECCOMP_RET_ERRNO | EPERM,
                   absent = SECCOMP_RET_ERRNO | ENOSYS, kill_it = SECCOMP_RET_KILL_PROCESS;
    struct sock_filter f[2 * N_REFUSED + 16] = { 0 };
    unsigned short n = 0;
#define PUT(...) f[n++] = (struct sock_filter) __VA_ARGS__
    PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
    PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)MACHINE, 1, 0));
    PUT(BPF_STMT(BPF_RET | BPF_K, kill_it));
    PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    PUT(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_ABI, 0, 1));
    PUT(BPF_STMT(BPF_RET | BPF_K, kill_it));
    for (int i = 0; i < N_REFUSED; i++) {
        PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)refused[i], 0, 1));
        PUT(BPF_STMT(BPF_RET | BPF_K, refuse));
    }
    /* clone3's flags can't be seen: libc takes clone then */
    PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLONE3, 0, 1));
    PUT(BPF_STMT(BPF_RET | BPF_K, absent));
    PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3));
    PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])));
    PUT(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, THREAD, 1, 0));
    PUT(BPF_STMT(BPF_RET | BPF_K, refuse));
    PUT(BPF_STMT(BPF_RET | BPF_K, allow_it));
#undef PUT
    struct sock_fprog program = { n, f };
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) ? -1 : 0;
}

/* ---- what a server needs --------------------------------------------------------------------- */
static void add_read(goss_srv_sandbox *s, const char *path)
{
    if (!*path || s->n_read == GOSS_SRV_SANDBOX_PATHS) return;
    for (int i = 0; i < s->n_read; i++)
        if (!strcmp(s->read[i], path)) return;
    snprintf(s->read[s->n_read++], sizeof s->read[0], "%s", path);
}

/* The folder of a file, as it is named and where it lies: others of it may be parts, or take its place. */
static void add_file(goss_srv_sandbox *s, const char *path)
{
    char named[1024], real[PATH_MAX];
    snprintf(named, sizeof named, "%s", path);
    char *slash = strrchr(named, '/');
    if (slash) slash[slash == named] = 0;
    add_read(s, slash ? named : ".");
    if (!realpath(path, real)) return;
    slash = strrchr(real, '/');
    slash[slash == real] = 0;
    if (strlen(real) < sizeof s->read[0]) add_read(s, real);
}

/* A folder of models, and where its links lead now. */
static void add_models(goss_srv_sandbox *s, const char *folder)
{
    char path[1024];
    add_read(s, folder);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        const size_t n = strlen(e->d_name);
        const int fits = snprintf(path, sizeof path, "%s/%s", folder, e->d_name) < (int)sizeof path;
        if (fits && n > 5 && !strcmp(e->d_name + n - 5, ".gguf")) add_file(s, path);
    }
    if (d) closedir(d);
}

static void add_write(goss_srv_sandbox *s, const char *path)
{
    snprintf(s->write[s->n_write++], sizeof s->write[0], "%s", path);
}

/* The WebGPU libraries that may be opened, and drivers and layers that the environment names for the Vulkan
 * loader. */
static void add_gpu(goss_srv_sandbox *s, const char *library)
{
    static const char *const drivers[] = { "VK_ICD_FILENAMES", "VK_DRIVER_FILES", "VK_LAYER_PATH" };
    char path[1024];
    s->device = 1;
    for (int i = 0; goss_library_place(i, library, path, sizeof path); i++)
        if (strchr(path, '/') && !access(path, R_OK)) add_file(s, path);
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        for (const char *at = getenv(drivers[i]); at && *at; at += *at == ':') {
            const int n = (int)strcspn(at, ":");
            if (snprintf(path, sizeof path, "%.*s", n, at) < (int)sizeof path) add_file(s, path);
            at += n;
        }
}

void goss_srv_sandbox_find(goss_srv_sandbox *s, const goss_srv_config *c)
{
    char shipped[1024];
    *s = (goss_srv_sandbox){ 0 };
    if (!goss_share_find("models", shipped, sizeof shipped)) add_read(s, shipped); /* /models/ has them */
    if (*c->model) add_file(s, c->model);
    if (*c->models_dir) add_models(s, c->models_dir);
    const char *backend = c->engine.config.backend;
    if (!backend || strcmp(backend, "cpu") != 0) add_gpu(s, c->engine.config.webgpu_path);
    if (c->engine.config.draft_path) add_file(s, c->engine.config.draft_path);
    if (c->engine.prefix_cache) {
        mkdir(c->engine.prefix_cache, 0700);
        add_write(s, c->engine.prefix_cache);
    }
    if (c->engine.record) {
        mkdir(c->engine.record, 0700);
        add_write(s, c->engine.record);
    }
    if (c->engine.telemetry) {
        const int fd = open(c->engine.telemetry, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd >= 0) close(fd);
        add_write(s, c->engine.telemetry);
    }
}

void goss_srv_sandbox_may_read(goss_srv_sandbox *s, const char *path)
{
    struct stat st;
    if (!stat(path, &st) && S_ISDIR(st.st_mode)) add_read(s, path);
    else add_file(s, path);
}

void goss_srv_sandbox_may_write(goss_srv_sandbox *s, const char *folder) { add_write(s, folder); }

int goss_srv_sandbox_enter(const goss_srv_sandbox *s, goss_error *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return goss_fail(err, GOSS_EUNSUPPORTED, -1, "the kernel has no sandbox");
    const int files = enter_landlock(s), calls = enter_seccomp();
    if (!files && !calls) return 0;
    return goss_fail(err, GOSS_EUNSUPPORTED, -1, "the kernel has no %s%s%s: the sandbox is not complete",
                     files ? "Landlock" : "", files && calls ? " and no " : "", calls ? "seccomp" : "");
}
