// A prepared SQLite statement: bind by position, step, read columns. Used by journal.cc and
// journal_upgrade.cc alone.
#pragma once

#include <sqlite3.h>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast::coordinator {

// Statements without parameters or rows.
inline Status Execute(sqlite3* database, const char* sql) {
  const int code = sqlite3_exec(database, sql, nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return {};
  return Fail(code == SQLITE_FULL ? Code::kNoSpace : Code::kInternal,
              std::string("journal: ") + sqlite3_errmsg(database));
}

class Statement {
 public:
  // The statement's text is a constant of the program: a mistake in it is reported by the first
  // Step.
  Statement(sqlite3* database, std::string_view sql) : database_(database) {
    prepared_ = sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &statement_,
                                   nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Binds all parameters in order.
  template <typename... T>
  Statement& Bind(const T&... values) {
    (BindOne(values), ...);
    return *this;
  }

  // True if there is a row to read.
  Result<bool> Step() {
    const int code = prepared_ == SQLITE_OK ? sqlite3_step(statement_) : prepared_;
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return Fail(code == SQLITE_FULL ? Code::kNoSpace : Code::kInternal,
                std::string("journal: ") + sqlite3_errmsg(database_));
  }
  Status Run() {
    HOLDFAST_TRY([[maybe_unused]] const bool row, Step());
    return {};
  }

  // Columns of the row, in order.
  int64_t Int() { return sqlite3_column_int64(statement_, column_++); }
  uint32_t Uint() { return static_cast<uint32_t>(Int()); }
  bool Bool() { return Int() != 0; }
  std::string Text() {
    const int size = sqlite3_column_bytes(statement_, column_);
    const void* data = sqlite3_column_blob(statement_, column_++);
    return data == nullptr ? std::string()
                           : std::string(static_cast<const char*>(data), static_cast<size_t>(size));
  }
  void NextRow() { column_ = 0; }

 private:
  void BindOne(std::integral auto value) {
    sqlite3_bind_int64(statement_, ++bound_, static_cast<sqlite3_int64>(value));
  }
  void BindOne(const std::string& value) {
    sqlite3_bind_text(statement_, ++bound_, value.data(), static_cast<int>(value.size()),
                      SQLITE_TRANSIENT);
  }

  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  int prepared_ = SQLITE_ERROR;
  int bound_ = 0;
  int column_ = 0;
};

}  // namespace holdfast::coordinator
