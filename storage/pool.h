// A fixed number of things that threads take turns with. Thread-safe.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

namespace holdfast::storage {

template <typename T>
class Pool {
 public:
  void Add(std::unique_ptr<T> item) {
    items_.push_back(std::move(item));
    free_.push_back(items_.back().get());
  }
  // All of them, for when nobody else uses the pool.
  const std::vector<std::unique_ptr<T>>& items() const { return items_; }

  // One item, the caller's until this goes.
  class Lease {
   public:
    explicit Lease(Pool& pool) : pool_(pool), item_(pool.Take()) {}
    ~Lease() { pool_.Return(item_); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    T* operator->() const { return item_; }

   private:
    Pool& pool_;
    T* item_;
  };

 private:
  // The one that was returned last, because its memory is still in a cache.
  T* Take() {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [&] { return !free_.empty(); });
    T* item = free_.back();
    free_.pop_back();
    return item;
  }
  void Return(T* item) {
    {
      const std::lock_guard lock(mutex_);
      free_.push_back(item);
    }
    returned_.notify_one();
  }

  std::vector<std::unique_ptr<T>> items_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<T*> free_;
};

}  // namespace holdfast::storage
