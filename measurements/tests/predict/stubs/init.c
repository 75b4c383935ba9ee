/* init of a guest that says its registers and ends: no library. */
static long sys(long n, long a, long b, long c, long d, long e) {
  long r; register long r10 __asm__("r10") = d; register long r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return r;
}
static void say(const char *name, const char *path) {
  char buf[256]; long n = 0, f = sys(2, (long)path, 0, 0, 0, 0);
  while (name[n]) n++;
  sys(1, 1, (long)name, n, 0, 0);
  n = f < 0 ? 0 : sys(0, f, (long)buf, 256, 0, 0);
  if (n > 0) sys(1, 1, (long)buf, n, 0, 0); else sys(1, 1, (long)"none\n", 5, 0, 0);
}
void _start(void) {
  sys(83, (long)"/sys", 0755, 0, 0, 0);
  sys(165, (long)"s", (long)"/sys", (long)"sysfs", 0, 0);
  say("\nRESULT pcr4 ", "/sys/class/tpm/tpm0/pcr-sha256/4");
  say("RESULT pcr9 ", "/sys/class/tpm/tpm0/pcr-sha256/9");
  say("RESULT pcr11 ", "/sys/class/tpm/tpm0/pcr-sha256/11");
  say("RESULT pcr12 ", "/sys/class/tpm/tpm0/pcr-sha256/12");
  say("RESULT sig ", "/.extra/tpm2-pcr-signature.json");
  say("\nRESULT key ", "/.extra/tpm2-pcr-public-key.pem");
  say("\nRESULT osrel ", "/.extra/os-release");
  sys(169, 0xfee1dead, 672274793, 0x4321fedc, 0, 0);
  for (;;) sys(34, 0, 0, 0, 0, 0);
}
