#include "warden/criu/terminal_queues.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace holdfast::warden {
namespace {

// N_TTY_BUF_SIZE - 1 of Linux: what a line discipline holds.
constexpr size_t kProcessed = 4095;
// What waits before it is in buffers (drivers/tty/tty_buffer.c of Linux), each of n times 256
// bytes, n at most 7 and as large as what is written first, which hold twice as much. There may be
// a new one until there are more than 8,192 bytes of them, and one of 256 bytes that has been in
// use before at any time. So most fits in if the largest come first, and small ones were in use
// before.
constexpr size_t kSmallest = 256;
constexpr size_t kLargest = 7 * kSmallest;
// No more of the smallest than there can ever be: each holds two.
constexpr int kMostSmall = 2 * (8192 / kSmallest + 1);

// Sets something of a terminal, and sets it back.
class Modes {
 public:
  static Result<Modes> Change(const UniqueFd& fd, const termios& wanted, const termios& before) {
    if (::ioctl(fd.get(), TCSETS, &wanted) != 0) return FailErrno("setting up a terminal");
    return Modes(fd, before);
  }
  Modes(Modes&& other) noexcept : fd_(std::exchange(other.fd_, nullptr)), before_(other.before_) {}
  Modes& operator=(Modes&&) = delete;
  ~Modes() {
    if (fd_) ::ioctl(fd_->get(), TCSETS, &before_);
  }

 private:
  Modes(const UniqueFd& fd, const termios& before) : fd_(&fd), before_(before) {}
  const UniqueFd* fd_;
  termios before_;
};

Result<termios> GetModes(const UniqueFd& fd) {
  termios modes = {};
  if (::ioctl(fd.get(), TCGETS, &modes) != 0) return FailErrno("looking at a terminal");
  return modes;
}

// Input is taken as it comes: not echoed, not translated, no signals, no editing; only lines end.
termios Literal(termios modes, cc_t end_of_file) {
  // Not IXON: output that has been stopped would go on.
  modes.c_iflag &= ~static_cast<tcflag_t>(ISTRIP | INLCR | IGNCR | ICRNL | IUCLC | IXANY | PARMRK);
  modes.c_lflag &= ~static_cast<tcflag_t>(ISIG | ECHO | ECHONL);
  constexpr cc_t kDisabled = 0;
  for (const int key : {VERASE, VKILL, VWERASE, VREPRINT, VLNEXT, VDISCARD, VSTART, VSTOP})
    modes.c_cc[key] = kDisabled;
  if ((modes.c_lflag & ICANON) != 0) modes.c_cc[VEOF] = end_of_file;
  return modes;
}

// Packet mode off while this lives: what is read has no byte before it, and a change of modes is
// not announced.
class PlainMaster {
 public:
  explicit PlainMaster(const UniqueFd& master) : master_(master) {
    ::ioctl(master.get(), TIOCGPKT, &packets_);
    if (packets_ != 0) Set(0);
  }
  PlainMaster(const PlainMaster&) = delete;
  PlainMaster& operator=(const PlainMaster&) = delete;
  ~PlainMaster() {
    if (packets_ != 0) Set(1);
  }

 private:
  void Set(int on) { ::ioctl(master_.get(), TIOCPKT, &on); }
  const UniqueFd& master_;
  int packets_ = 0;
};

// Nothing waits while this lives.
class NonBlocking {
 public:
  explicit NonBlocking(const UniqueFd& fd) : fd_(fd), flags_(::fcntl(fd.get(), F_GETFL)) {
    ::fcntl(fd.get(), F_SETFL, flags_ | O_NONBLOCK);
  }
  NonBlocking(const NonBlocking&) = delete;
  NonBlocking& operator=(const NonBlocking&) = delete;
  ~NonBlocking() { ::fcntl(fd_.get(), F_SETFL, flags_); }

 private:
  const UniqueFd& fd_;
  int flags_;
};

// One read(2); false if there is nothing. Then, unlike the kernel's counters, it is certain that
// nothing is on its way either.
Result<bool> ReadSome(const UniqueFd& fd, std::string& out) {
  std::array<char, 8192> buffer;
  const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
  // A master whose slave is closed has EIO.
  if (size < 0 && (errno == EAGAIN || errno == EIO)) return false;
  if (size < 0) return FailErrno("reading what a terminal holds");
  out.assign(buffer.data(), static_cast<size_t>(size));
  return true;
}

Result<std::string> ReadRaw(const UniqueFd& fd) {
  std::string all, part;
  while (true) {
    HOLDFAST_TRY(const bool more, ReadSome(fd, part));
    if (!more || part.empty()) return all;
    all += part;
  }
}

bool EndsLine(const std::string& line, const termios& modes) {
  if (line.empty()) return false;
  const auto last = static_cast<cc_t>(line.back());
  const auto is = [&](int key) { return modes.c_cc[key] != 0 && modes.c_cc[key] == last; };
  return last == '\n' || is(VEOL) || ((modes.c_lflag & IEXTEN) != 0 && is(VEOL2));
}

Status TakeInput(const UniqueFd& slave, terminals::Terminal& terminal) {
  HOLDFAST_TRY(const termios before, GetModes(slave));
  const bool lines = (before.c_lflag & ICANON) != 0;
  // An end-of-file character that comes in meanwhile has not been processed.
  termios reading = Literal(before, 0);
  HOLDFAST_TRY(const Modes literal, Modes::Change(slave, reading, before));
  size_t held = 0;
  std::string data, unprocessed;
  while (lines) {
    HOLDFAST_TRY(const bool more, ReadSome(slave, data));
    if (!more) break;
    const bool end_of_file = !EndsLine(data, before);
    if (held < kProcessed) {
      terminals::Line& line = *terminal.add_lines();
      line.set_data(data.substr(0, kProcessed - held));
      line.set_end_of_file(end_of_file);
      unprocessed += data.substr(line.data().size());
    } else {
      unprocessed += data;
    }
    held += data.size() + (end_of_file ? 1 : 0);
  }
  // Also the beginning of a line, which cannot be read in canonical mode.
  reading.c_lflag &= ~static_cast<tcflag_t>(ICANON);
  reading.c_cc[VMIN] = 1;
  reading.c_cc[VTIME] = 0;
  if (::ioctl(slave.get(), TCSETS, &reading) != 0) return FailErrno("setting up a terminal");
  HOLDFAST_TRY(const std::string rest, ReadRaw(slave));
  const size_t room = held < kProcessed ? kProcessed - held : 0;
  terminal.set_rest(rest.substr(0, room));
  if (rest.size() > room) unprocessed += rest.substr(room);
  terminal.set_unprocessed(unprocessed);
  return {};
}

// As if it had come in and been processed.
Status Insert(const UniqueFd& fd, std::string_view data) {
  for (const char c : data)
    if (::ioctl(fd.get(), TIOCSTI, &c) != 0) return FailErrno("putting back what a terminal held");
  return {};
}

// One write(2), which may be of nothing. The kernel moves on what is written by another thread:
// that there is no room is certain after a while only.
Result<size_t> WriteSome(const UniqueFd& fd, std::string_view data) {
  const auto patience = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  do {
    const ssize_t size = ::write(fd.get(), data.data(), data.size());
    if (size > 0) return static_cast<size_t>(size);
    if (size < 0 && errno != EAGAIN) return FailErrno("putting back what a terminal held");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  } while (std::chrono::steady_clock::now() < patience);
  return size_t{0};
}

// Has as many small buffers in use as there can be. Both queues are empty, and nothing is
// processed.
Status UseSmallBuffers(const UniqueFd& writer, const UniqueFd& reader) {
  const NonBlocking written_at_once(writer), read_at_once(reader);
  const std::string piece(kSmallest, 'x');
  // The first go to where they are processed.
  for (int i = 0; i < kMostSmall + static_cast<int>(kProcessed / kSmallest); ++i)
    if (::write(writer.get(), piece.data(), piece.size()) <= 0) break;
  return ReadRaw(reader).transform([](const auto&) {});
}

// To the other side, from where it comes as far as there is room.
Status Write(const UniqueFd& fd, std::string_view data) {
  const NonBlocking at_once(fd);
  for (size_t piece = kLargest; !data.empty();) {
    HOLDFAST_TRY(const size_t size, WriteSome(fd, data.substr(0, piece)));
    if (size == 0 && piece == kSmallest)
      return Fail(Code::kInternal, "a terminal does not take " + std::to_string(data.size()) +
                                       " bytes back that it held");
    if (size == 0) piece = kSmallest;
    data.remove_prefix(size);
  }
  return {};
}

Status PutOutput(const UniqueFd& master, const UniqueFd& slave, std::string_view output) {
  if (output.size() <= kProcessed) return Insert(master, output);
  HOLDFAST_TRY(const termios before, GetModes(slave));
  termios raw = before;
  raw.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  HOLDFAST_TRY(const Modes as_it_is, Modes::Change(slave, raw, before));
  HOLDFAST_CHECK(UseSmallBuffers(slave, master));
  HOLDFAST_CHECK(Insert(master, output.substr(0, kProcessed)));
  return Write(slave, output.substr(kProcessed));
}

// A character that can stand for the end of file, because none of the input is it; 0 if there is no
// end of file.
Result<cc_t> EndOfFile(const terminals::Terminal& terminal) {
  std::set<char> used = {'\0', '\n'};
  bool needed = false;
  for (const terminals::Line& line : terminal.lines()) {
    needed = needed || line.end_of_file();
    used.insert(line.data().begin(), line.data().end());
  }
  if (!needed) return cc_t{0};
  used.insert(terminal.rest().begin(), terminal.rest().end());
  for (int c = 1; c < 256; ++c)
    if (!used.contains(static_cast<char>(c))) return static_cast<cc_t>(c);
  return Fail(Code::kUnsupported,
              "the lines that wait in a terminal have every character there is");
}

Status PutInput(const UniqueFd& master, const UniqueFd& slave,
                const terminals::Terminal& terminal) {
  if (terminal.lines().empty() && terminal.rest().empty()) return {};
  HOLDFAST_TRY(const termios before, GetModes(slave));
  HOLDFAST_TRY(const cc_t end_of_file, EndOfFile(terminal));
  if (!terminal.unprocessed().empty()) {
    termios raw = Literal(before, 0);
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    HOLDFAST_TRY(const Modes as_it_is, Modes::Change(slave, raw, before));
    HOLDFAST_CHECK(UseSmallBuffers(master, slave));
  }
  {
    HOLDFAST_TRY(const Modes literal, Modes::Change(slave, Literal(before, end_of_file), before));
    for (const terminals::Line& line : terminal.lines()) {
      HOLDFAST_CHECK(Insert(slave, line.data()));
      const auto end = static_cast<char>(end_of_file);
      if (line.end_of_file()) HOLDFAST_CHECK(Insert(slave, std::string_view(&end, 1)));
    }
    HOLDFAST_CHECK(Insert(slave, terminal.rest()));
  }
  return Write(master, terminal.unprocessed());
}

}  // namespace

Status TakeQueues(const UniqueFd& master, const UniqueFd& slave, terminals::Terminal& terminal) {
  const PlainMaster plain(master);
  if (slave.valid()) HOLDFAST_CHECK(TakeInput(slave, terminal));
  const NonBlocking at_once(master);
  HOLDFAST_TRY(*terminal.mutable_output(), ReadRaw(master));
  return {};
}

Status PutQueues(const UniqueFd& master, const UniqueFd& slave,
                 const terminals::Terminal& terminal) {
  const PlainMaster plain(master);
  HOLDFAST_CHECK(PutOutput(master, slave, terminal.output()));
  return PutInput(master, slave, terminal);
}

}  // namespace holdfast::warden
