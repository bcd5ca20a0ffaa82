// Where objects lie: the interface that every back end implements and that nothing above storage/
// sees. One back end serves one job's directory, with the rights of the job's user.
//
// Keys are relative paths of letters, digits, '.', '-', '_' with at most one '/'. An object is
// written once, then never changed. tests/contract/ holds the suite that every back end passes.
//
// Back ends and readers are thread-safe. A writer belongs to one thread at a time. Writers and
// readers must not outlive their back end.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::storage {

struct Capabilities {
  size_t write_bytes = 0;  // size of an Append that suits the back end
  // What a dead writer left is listed, and deleting it stops a writer that was not dead after all.
  // Otherwise it is neither seen nor in the way, and the back end removes it by itself.
  bool lists_unfinished = true;
  // A reader goes on reading an object that is deleted after it was opened.
  bool keeps_deleted_for_readers = true;
};

struct ObjectInfo {
  std::string key;
  uint64_t size_bytes = 0;
};

// An object on its way. Destroyed without Finish, it leaves nothing.
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;
  virtual Status Append(std::span<const std::byte> data) = 0;
  // Success: the whole object is durable, and visible under its key. kConflict: the key is taken,
  // and nothing changed. Other errors: it may or may not have become visible, but never in part.
  virtual Status Finish() = 0;
};

class ObjectReader {
 public:
  virtual ~ObjectReader() = default;
  virtual uint64_t size_bytes() const = 0;  // when it was opened
  // Fills `out`, or fails: kCorrupt if the object ends before.
  virtual Status ReadAt(uint64_t offset, std::span<std::byte> out) const = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  // After `deadline` (max(): none) nothing that is stored is of use any more. What has to be tried
  // again is tried sooner the less time is left, and no longer than until then; from then on as if
  // there were none, in case the node is still there. For back ends that try again.
  virtual void SetDeadline(std::chrono::steady_clock::time_point /*deadline*/) {}
  // No call returns later than `limit` (max(): none), even if what is behind it hangs: kTimeout.
  // For back ends that do not give up by themselves.
  virtual void SetLimit(std::chrono::steady_clock::time_point /*limit*/) {}
  virtual const Capabilities& capabilities() const = 0;
  // For messages: where `key` lies.
  virtual std::string Describe(std::string_view key) const = 0;

  // Makes the place, private to the owner, and proves that it can be written.
  virtual Status Prepare() = 0;
  virtual Result<std::unique_ptr<ObjectWriter>> Create(const std::string& key) = 0;
  // kNotFound if there is none.
  virtual Result<std::unique_ptr<ObjectReader>> Open(const std::string& key) = 0;
  // Atomic and durable: of several callers exactly one succeeds, the others get kConflict.
  virtual Status PutIfAbsent(const std::string& key, std::span<const std::byte> contents) = 0;
  // Objects whose key begins with `prefix`, sorted, and also what dead writers left (layout.h,
  // kUnfinishedMark). Empty if the place does not exist.
  virtual Result<std::vector<ObjectInfo>> List(const std::string& prefix) = 0;
  // Names of places like this one, under the same URL, that begin with `prefix` once a '/' is put
  // after them; sorted. Empty if there are none.
  virtual Result<std::vector<std::string>> Beside(const std::string& prefix) = 0;
  // Durable. Success if it does not exist.
  virtual Status Delete(const std::string& key) = 0;
  // Removes the place itself if nothing is left in it; otherwise changes nothing.
  virtual Status RemoveIfEmpty() = 0;
};

// The whole object; kCorrupt if it is larger than `limit_bytes`.
Result<std::vector<std::byte>> ReadObject(Backend& backend, const std::string& key,
                                          uint64_t limit_bytes);

}  // namespace holdfast::storage
