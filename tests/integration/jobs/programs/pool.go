// Go's goroutines: a pool behind channels, an HTTP server and its clients, children, timers, and collections of
// garbage meanwhile. A line a round, until there is a file "go", or as many as ROUNDS says.
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

func work(n int) string {
	hash := sha256.New()
	for i := 0; i < 30000; i++ {
		fmt.Fprintf(hash, "%d", n*i)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))[:10]
}

func more(n int) bool {
	if rounds, set := os.LookupEnv("ROUNDS"); set {
		last, _ := strconv.Atoi(rounds)
		return n < last
	}
	_, err := os.Stat("go")
	return err != nil
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return value
}

func main() {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	go http.Serve(listener, http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		time.Sleep(20 * time.Millisecond)
		fmt.Fprintf(answer, "length %d", len(body))
	}))
	jobs := make(chan int)
	results := make(map[int]string)
	var lock sync.Mutex
	var group sync.WaitGroup
	for k := 0; k < 3; k++ {
		go func() {
			for job := range jobs {
				result := work(job)
				lock.Lock()
				results[job] = result
				lock.Unlock()
				group.Done()
			}
		}()
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	for n := 0; more(n); n++ {
		group.Add(3)
		for k := 0; k < 3; k++ {
			jobs <- n*3 + k
		}
		group.Wait()
		response := must(http.Post("http://"+listener.Addr().String(), "text/plain", strings.NewReader(strings.Repeat("x", n*1000))))
		body := must(io.ReadAll(response.Body))
		response.Body.Close()
		child := exec.Command("sh", "-c", "sleep 0.05; echo child; exit 3")
		said, _ := child.Output()
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		select {
		case <-ctx.Done():
			fmt.Println("an hour has passed")
		case <-time.After(50 * time.Millisecond):
		}
		cancel()
		time.Sleep(must(time.ParseDuration(os.Getenv("PAUSE") + "s")))
		<-ticker.C
		runtime.GC()
		lock.Lock()
		fmt.Println("round", n, results[n*3], results[n*3+1], results[n*3+2], string(body), strings.TrimSpace(string(said)), child.ProcessState.ExitCode())
		lock.Unlock()
	}
	fmt.Println("done")
}
