// Heat on a square plate: an explicit finite-difference solver over MPI, rows shared among the
// ranks, that appends the temperature field to one shared HDF5 file as it goes, with parallel HDF5.
//
//   mpirun heat2d FILE.h5 [SIZE [STEPS [EVERY [PAUSE_MS]]]]
//
// SIZE x SIZE cells, STEPS time steps; every EVERY steps one more slice of /temperature is written
// in place and flushed; PAUSE_MS stretches each such interval, to watch it move. Nothing in it
// knows of checkpoints. The same arguments give the same file, bit for bit, however often the job
// was interrupted.
#include <hdf5.h>
#include <mpi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

namespace {

int rank, ranks;

void Check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "heat2d: rank %d: %s failed\n", rank, what);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

hsize_t Argument(int argc, char** argv, int index, hsize_t fallback) {
  return argc > index ? std::strtoull(argv[index], nullptr, 10) : fallback;
}

// One rank's rows with a ghost row above and below.
class Plate {
 public:
  Plate(hsize_t size, hsize_t first, hsize_t rows)
      : size_(size), rows_(rows), now_((rows + 2) * size), next_(now_) {
    // A hot square off the middle, so that no symmetry hides a misplaced row.
    for (hsize_t row = 0; row < rows; ++row)
      for (hsize_t column = 0; column < size; ++column)
        if (first + row > size / 4 && first + row < size / 2 && column > size / 3 &&
            column < size * 3 / 4)
          now_[(row + 1) * size + column] = 100.0;
  }

  void ExchangeGhosts() {
    const int above = rank > 0 ? rank - 1 : MPI_PROC_NULL;
    const int below = rank + 1 < ranks ? rank + 1 : MPI_PROC_NULL;
    const int count = static_cast<int>(size_);
    MPI_Sendrecv(Row(1), count, MPI_DOUBLE, above, 0, Row(rows_ + 1), count, MPI_DOUBLE, below, 0,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Sendrecv(Row(rows_), count, MPI_DOUBLE, below, 1, Row(0), count, MPI_DOUBLE, above, 1,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }

  void Step() {
    constexpr double kDiffusion = 0.2;  // stable below 0.25
    for (hsize_t row = 1; row <= rows_; ++row) {
      for (hsize_t column = 1; column + 1 < size_; ++column) {
        const hsize_t i = row * size_ + column;
        next_[i] = now_[i] + kDiffusion * (now_[i - 1] + now_[i + 1] + now_[i - size_] +
                                           now_[i + size_] - 4 * now_[i]);
      }
    }
    std::swap(now_, next_);
  }

  double* Row(hsize_t row) { return now_.data() + row * size_; }
  double Sum() const {
    double sum = 0;
    for (hsize_t i = size_; i < (rows_ + 1) * size_; ++i) sum += now_[i];
    return sum;
  }

 private:
  hsize_t size_, rows_;
  std::vector<double> now_, next_;
};

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (argc < 2) {
    if (rank == 0)
      std::fprintf(stderr, "usage: heat2d FILE.h5 [SIZE [STEPS [EVERY [PAUSE_MS]]]]\n");
    MPI_Finalize();
    return 2;
  }
  const hsize_t size = Argument(argc, argv, 2, 512), steps = Argument(argc, argv, 3, 2000);
  const hsize_t every = Argument(argc, argv, 4, 100), pause_ms = Argument(argc, argv, 5, 0);
  const hsize_t rank_index = static_cast<hsize_t>(rank), rank_count = static_cast<hsize_t>(ranks);
  Check(size >= rank_count && every > 0, "SIZE of at least one row a rank and EVERY above 0");
  const hsize_t first = size * rank_index / rank_count;
  const hsize_t rows = size * (rank_index + 1) / rank_count - first;

  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_mpio(access, MPI_COMM_WORLD, MPI_INFO_NULL);
  const hid_t file = H5Fcreate(argv[1], H5F_ACC_TRUNC, H5P_DEFAULT, access);
  Check(file >= 0, "creating the file");
  const hsize_t slices = steps / every;
  const hsize_t extent[3] = {slices, size, size};
  const hid_t space = H5Screate_simple(3, extent, nullptr);
  // Time stamps would make two identical runs differ.
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_obj_track_times(creation, false);
  H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
  const hid_t dataset =
      H5Dcreate2(file, "temperature", H5T_IEEE_F64LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  Check(dataset >= 0, "creating the dataset");
  const hid_t transfer = H5Pcreate(H5P_DATASET_XFER);
  H5Pset_dxpl_mpio(transfer, H5FD_MPIO_COLLECTIVE);

  Plate plate(size, first, rows);
  for (hsize_t step = 1; step <= steps; ++step) {
    plate.ExchangeGhosts();
    plate.Step();
    if (step % every != 0) continue;
    const hsize_t start[3] = {step / every - 1, first, 0}, count[3] = {1, rows, size};
    const hid_t memory = H5Screate_simple(3, count, nullptr);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, nullptr, count, nullptr);
    Check(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, memory, space, transfer, plate.Row(1)) >= 0,
          "writing a slice");
    Check(H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0, "flushing");
    H5Sclose(memory);
    double local = plate.Sum(), total = 0;
    MPI_Reduce(&local, &total, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0) {
      std::printf("step %llu heat %.6f\n", static_cast<unsigned long long>(step), total);
      std::fflush(stdout);
    }
    if (pause_ms > 0) usleep(static_cast<useconds_t>(pause_ms * 1000));
  }
  H5Dclose(dataset);
  H5Sclose(space);
  H5Pclose(creation);
  H5Pclose(transfer);
  Check(H5Fclose(file) >= 0, "closing the file");
  H5Pclose(access);
  MPI_Finalize();
  return 0;
}
