// Sends one object: in one request if it is small, otherwise in chunks through a resumable session
// while the next chunk is being filled.
//
// Sending twice is safe everywhere. A chunk's offset is agreed on with the server after every
// doubt. The object itself is created only under a free name, and carries a random mark: an answer
// "the name is taken" to a repeated request is success if the object there bears our mark.
//
// One thread at a time.
#pragma once

#include <future>
#include <string>
#include <vector>

#include "storage/backend.h"
#include "storage/gcs/service.h"

namespace holdfast::storage::gcs {

class Upload final : public ObjectWriter {
 public:
  // `name`: of the object in the bucket; `what`: for messages, "writing gs://...".
  Upload(Service& service, std::string name, std::string what);
  // Waits for the chunk that is on its way.
  ~Upload() override;

  // Blocks while a chunk is full and the one before it is still on its way, whose error it then
  // returns.
  Status Append(std::span<const std::byte> data) override;
  Status Finish() override;

 private:
  using Buffer = std::vector<std::byte>;

  Status SendWhole();
  Status StartSession();
  // Sends the chunk that begins at `start` of the object, until the server has all of it. With
  // `last`, also finishes the object.
  Status SendChunk(const Buffer& chunk, uint64_t start, bool last);
  Result<http::Response> PutToSession(std::span<const std::byte> data, const std::string& range,
                                      bool last);
  // Reads what a session answered to a chunk that begins at `start`: how many bytes of the object
  // are committed. Sets `finished_` if that is all.
  Result<uint64_t> TakeAnswer(const http::Response& response, uint64_t start);
  // The answer to a request that created the object: was it stored as sent?
  Status CheckStored(const http::Response& response);
  // The name was taken: success if by a request of ours whose answer was lost, else the refusal.
  Status CheckOurs(const http::Response& refusal);
  Status WaitForChunk();

  Service& service_;
  const std::string name_;
  const std::string what_;
  std::string mark_;
  Buffer buffer_;            // not yet on its way
  uint64_t size_ = 0;        // of all that was appended
  uint32_t crc_ = 0;         // of the same
  std::string session_url_;  // a secret: whoever has it can write the object
  std::future<Status> in_flight_;
  bool finished_ = false;
};

}  // namespace holdfast::storage::gcs
