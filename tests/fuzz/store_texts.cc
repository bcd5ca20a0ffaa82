// What others may have written into a store: names of objects and of jobs' places, and lists of
// them as servers send them; and the URLs that say where it is.
#include "storage/gcs/gcs_backend.h"
#include "storage/layout.h"
#include "storage/s3/credentials.h"
#include "storage/s3/s3_backend.h"
#include "storage/urls/job_name.h"
#include "storage/urls/urls.h"
#include "tests/fuzz/fuzz.h"

namespace holdfast::fuzz {

using namespace storage;

void Feed(std::string_view bytes) {
  std::vector<ObjectInfo> objects;
  switch (Choose(bytes, 6)) {
    case 0:
      if (const auto name = ParseJobDirectory(bytes))
        Must(name->Directory() == bytes, "a job's place is read as it was written");
      return;
    case 1:
      if (const auto name = ParseKey(bytes); name && !name->unfinished)
        Must((name->kind == ObjectName::Kind::kManifest ? ManifestKey(name->checkpoint)
              : name->kind == ObjectName::Kind::kPart
                  ? PartKey(name->checkpoint, name->pod)
                  : PackKey(name->checkpoint, name->pod, name->sequence)) == bytes,
             "an object's name is read as it was written");
      return;
    case 2:
      if (const Status accepted = CheckUrl(bytes); !accepted)
        Must(!accepted.error().message().empty(), "who is refused is told why");
      return;
    case 3:
      (void)s3::ReadPage(std::string(bytes), "ckpt/", objects);
      return;
    case 4:
      (void)gcs::ReadPage(std::string(bytes), "ckpt/", objects);
      return;
    default:
      (void)s3::ParseCredentials(bytes, "default");
  }
}

std::vector<std::string> Seeds() {
  using namespace std::string_literals;
  const JobName job{"lab", 4242, "20261128T004824Z"};
  return {"\0"s + job.Directory(),
          "\0"s + "4242",
          "\1"s + ManifestKey(7),
          "\1"s + PartKey(7, 1),
          "\1"s + PackKey(7, 1, 2),
          "\2"s + "s3://bucket/some/prefix",
          "\2"s + "gs://bucket",
          "\2"s + "/shared/ckpt",
          "\3<ListBucketResult><Contents><Key>ckpt/lab-1-a/x&amp;y</Key><Size>5</Size></Contents>"
          "<CommonPrefixes><Prefix>ckpt/p/</Prefix></CommonPrefixes>"
          "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
          "</ListBucketResult>"s,
          "\4{\"items\":[{\"name\":\"ckpt/a\",\"size\":\"5\"}],\"prefixes\":[\"ckpt/p/\"],"
          "\"nextPageToken\":\"t\"}"s,
          "\5[default]\naws_access_key_id = A\naws_secret_access_key = B\n[other]\n"s};
}

}  // namespace holdfast::fuzz
