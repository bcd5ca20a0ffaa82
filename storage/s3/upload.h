// Sends one object: in one request if it is small, otherwise as a multipart upload, a part on its
// way while the next is being filled.
//
// Sending twice is safe everywhere. A part replaces the same part. The object itself is created
// only under a free name (If-None-Match: *) and carries a random mark: an answer "the name is
// taken" to a repeated request is success if the object there bears our mark.
//
// Each part and each object goes with its CRC32C, which the server checks and keeps. One thread at
// a time.
#pragma once

#include <future>
#include <string>
#include <vector>

#include "storage/backend.h"
#include "storage/s3/service.h"

namespace holdfast::storage::s3 {

// Metadata of objects: who wrote them, the CRC32C of one that was sent in one request, and what the
// parts of another were long.
inline constexpr const char* kMarkHeader = "x-amz-meta-holdfast-writer";
inline constexpr const char* kCrcHeader = "x-amz-meta-holdfast-crc32c";
inline constexpr const char* kPartBytesHeader = "x-amz-meta-holdfast-part-bytes";
// The server's own checksum.
inline constexpr const char* kChecksumHeader = "x-amz-checksum-crc32c";

class Upload final : public ObjectWriter {
 public:
  // `name`: of the object in the bucket; `what`: for messages, "writing s3://...".
  Upload(Service& service, std::string name, std::string what);
  // Waits for the part that is on its way.
  ~Upload() override;

  // Blocks while a part is full and the one before it is still on its way, whose error it then
  // returns.
  Status Append(std::span<const std::byte> data) override;
  Status Finish() override;
  // A whole object in one request, however large: that is the request whose condition every server
  // must know.
  Status Put(std::span<const std::byte> data);

 private:
  using Buffer = std::vector<std::byte>;
  struct Part {
    std::string etag, checksum;
  };

  Status Start();
  Result<Part> SendPart(const Buffer& data, size_t number);
  Status SendInFlight();
  Status WaitForPart();
  Status Complete();
  // The name was taken: success if by a request of ours whose answer was lost, else the refusal.
  Status CheckOurs(const http::Response& refusal);

  Service& service_;
  const std::string name_;
  const std::string what_;
  const std::string mark_;
  Buffer buffer_;  // not yet on its way
  std::string upload_id_;
  std::vector<Part> parts_;
  std::future<Result<Part>> in_flight_;
  bool finished_ = false;
};

}  // namespace holdfast::storage::s3
