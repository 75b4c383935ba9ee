/* A FORGED driver of an SEV-SNP guest, in front of a program that is not changed by it.
 *
 *   sev_guest SOCKET PROGRAM ARGUMENT...
 *
 * The program runs under a filter of the kernel that stops its requests to /dev/sev-guest and /dev/sev, by their numbers, and hands
 * them to a second process: this one, which reads and writes the program's memory where the request says so, as the driver
 * would, and gets the firmware's part from whoever listens at SOCKET (forge-guest). Whatever file the program has opened
 * as the device is never asked. enclave-app takes no preloaded library; to this nothing in the program can object, and nothing
 * about the real driver is shown by it.
 *
 * What goes over the socket, in the machine's byte order: kind (u32: 0 report, 1 with certificates, 2 of Linux 5.15), version
 * (u32), room for the table (u32), MSG_REPORT_REQ (96 bytes). Back: errno (u32), length of the table (u32), exit_info (u64), MSG_REPORT_RSP
 * (4000 bytes), and the table, where there is room for it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sev-guest.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* psp-sev-guest.h of Azure's Linux 5.15, which is in no package. */
struct older_request {
    uint8_t request_type, response_type, version;
    uint16_t request_length;
    uint64_t request;
    uint16_t response_length;
    uint64_t response;
    uint32_t error;
};
#define OLDER_REPORT _IOWR('S', 1, struct older_request)

struct question {
    uint32_t kind, version, room;
    uint8_t request[96];
};
struct answer {
    uint32_t error, table_length;
    uint64_t exit_info;
    uint8_t response[4000];
};

static void die(const char *what) {
    fprintf(stderr, "sev_guest (FORGED): %s: %s\n", what, strerror(errno));
    _exit(90);
}

static int move(pid_t program, uint64_t there, void *here, size_t length, int writes) {
    struct iovec local = {here, length}, remote = {(void *)(uintptr_t)there, length};
    ssize_t moved = writes ? process_vm_writev(program, &local, 1, &remote, 1, 0)
                           : process_vm_readv(program, &local, 1, &remote, 1, 0);
    return moved == (ssize_t)length;
}
#define GET(there, here) move(program, there, &(here), sizeof(here), 0)
#define PUT(there, here) move(program, there, &(here), sizeof(here), 1)

static void whole(int stream, void *bytes, size_t length, int writes) {
    for (size_t done = 0; done < length;) {
        ssize_t moved = writes ? write(stream, (char *)bytes + done, length - done)
                               : read(stream, (char *)bytes + done, length - done);
        if (moved <= 0) die("forge-guest's socket");
        done += (size_t)moved;
    }
}

static struct answer ask(const char *path, struct question *question, uint8_t *table) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct answer answer;
    int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof address.sun_path) die("the path of the socket");
    strcpy(address.sun_path, path);
    if (stream < 0 || connect(stream, (struct sockaddr *)&address, sizeof address)) die(path);
    whole(stream, question, sizeof *question, 1);
    whole(stream, &answer, sizeof answer, 0);
    if (answer.table_length <= question->room) whole(stream, table, answer.table_length, 0);
    close(stream);
    return answer;
}

/* One request: the errno that the program sees. */
static int serve(pid_t program, uint32_t number, uint64_t argument, const char *path) {
    struct question question = {0};
    struct snp_guest_request_ioctl newer = {0};
    struct snp_ext_report_req extended = {0};
    struct older_request older = {0};
    struct answer answer;
    static uint8_t table[1 << 16];
    if (number == OLDER_REPORT) {
        if (!GET(argument, older) || !GET(older.request, question.request)) return EFAULT;
        if (older.request_type != 5 || older.response_type != 6) return EINVAL;
        if (older.request_length != sizeof question.request || older.response_length != 1280) return EINVAL;
        question.kind = 2;
        question.version = older.version;
    } else {
        if (!GET(argument, newer)) return EFAULT;
        question.version = newer.msg_version;
        if (number == SNP_GET_EXT_REPORT) {
            if (!GET(newer.req_data, extended)) return EFAULT;
            memcpy(question.request, &extended.data, sizeof question.request);
            if (extended.certs_len % 4096 || extended.certs_len > 0x4000) return EINVAL;
            question.kind = 1;
            question.room = extended.certs_address ? extended.certs_len : 0;
        } else if (!GET(newer.req_data, question.request)) {
            return EFAULT;
        }
    }
    if (!question.version) return EINVAL;
    answer = ask(path, &question, table);
    if (number == OLDER_REPORT) {
        older.error = (uint32_t)answer.exit_info;
        if (!PUT(argument, older)) return EFAULT;
        if (!answer.error && !move(program, older.response, answer.response, 1280, 1)) return EFAULT;
        return (int)answer.error;
    }
    memcpy((char *)&newer + offsetof(struct snp_guest_request_ioctl, resp_data) + 8, &answer.exit_info, 8);
    if (!PUT(argument, newer)) return EFAULT;
    if (number == SNP_GET_EXT_REPORT) {
        if (answer.table_length > question.room) {
            extended.certs_len = answer.table_length;
            if (!PUT(newer.req_data, extended)) return EFAULT;
        } else if (answer.table_length && !move(program, extended.certs_address, table, answer.table_length, 1)) {
            return EFAULT;
        }
    }
    if (!answer.error && !PUT(newer.resp_data, answer.response)) return EFAULT;
    return (int)answer.error;
}

/* Until the last process under the filter has ended. */
static void listen_to(int listener, const char *path) {
    for (;;) {
        struct pollfd polled = {listener, POLLIN, 0};
        struct seccomp_notif asked;
        struct seccomp_notif_resp said;
        if (poll(&polled, 1, -1) < 0 || polled.revents & (POLLHUP | POLLERR)) _exit(0);
        memset(&asked, 0, sizeof asked);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) continue;
        memset(&said, 0, sizeof said);
        said.id = asked.id;
        said.error = -serve((pid_t)asked.pid, (uint32_t)asked.data.args[1], asked.data.args[2], path);
        /* Whoever asked may have gone away meanwhile. */
        (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &said);
    }
}

static int filtered(void) {
#define NUMBER offsetof(struct seccomp_data, nr)
#define REQUEST offsetof(struct seccomp_data, args[1])
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, REQUEST),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SNP_GET_REPORT, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SNP_GET_EXT_REPORT, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OLDER_REPORT, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die("no new privileges");
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* A descriptor goes over a socket beside one byte. */
static int pass(int channel, int listener) {
    char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (listener >= 0) {
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &listener, sizeof(int));
        return sendmsg(channel, &message, 0) == 1 ? 0 : -1;
    }
    if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message)) return -1;
    memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    return listener;
}

int main(int count, char **words) {
    int channel[2], listener;
    pid_t child;
    if (count < 3) {
        fprintf(stderr, "usage: sev_guest SOCKET PROGRAM ARGUMENT...\n");
        return 90;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel)) die("a pair of sockets");
    child = fork();
    if (child == 0) {
        /* No child of the program: whoever counts its children counts its own. */
        if (fork()) _exit(0);
        close(channel[1]);
        /* The program's first line is waited for until its output ends. */
        if (!freopen("/dev/null", "w", stdout)) die("/dev/null");
        listener = pass(channel[0], -1);
        if (listener < 0) die("no listener");
        listen_to(listener, words[1]);
    }
    if (child < 0 || waitpid(child, NULL, 0) != child) die("a process beside the program");
    close(channel[0]);
    fprintf(stderr, "sev_guest: FORGED driver of an SEV-SNP guest in front of %s\n", words[2]);
    listener = filtered();
    if (listener < 0) die("the kernel's filter");
    if (pass(channel[1], listener)) die("the listener");
    close(listener);
    close(channel[1]);
    execv(words[2], words + 2);
    die(words[2]);
}
