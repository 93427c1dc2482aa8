// A client inside a pod. It calls the API server with the pod's ServiceAccount token, verifying the cluster's CA, and serves
// what it saw on :8080/metrics. Standard library only.
//
//	client once    one round, printed; exit code 0 when every answer was the expected one
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

type check struct {
	what, url, token, want string
	client                 *http.Client
}

func read(name string) string {
	content, err := os.ReadFile(account + name)
	if err != nil {
		log.Fatal(err)
	}
	return strings.TrimSpace(string(content))
}

func client(ca string) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	return &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
	}
}

// get returns the status code, "x509" for a certificate that is not trusted, or the error.
func (c check) get() string {
	request, err := http.NewRequest(http.MethodGet, c.url, nil)
	if err != nil {
		return err.Error()
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.client.Do(request)
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return "x509"
	}
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err.Error()
	}
	return fmt.Sprint(response.StatusCode)
}

func checks() []check {
	trusting, namespace := client(read("ca.crt")), read("namespace")
	byAddress := "https://" + net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	byName := "https://kubernetes.default.svc"
	pods := "/api/v1/namespaces/" + namespace + "/pods"
	return []check{
		{"by name, allowed", byName + pods, read("token"), "200", trusting},
		{"by address, allowed", byAddress + pods, read("token"), "200", trusting},
		{"resource not allowed", byName + "/api/v1/namespaces/" + namespace + "/secrets", read("token"), "403", trusting},
		{"namespace not allowed", byName + "/api/v1/namespaces/kube-system/pods", read("token"), "403", trusting},
		{"bad token", byName + pods, "nonsense", "401", trusting},
		{"without the CA", byName + "/version", "", "x509", client("")},
	}
}

func once() bool {
	good := true
	for _, c := range checks() {
		got := c.get()
		fmt.Printf("%-24s want %s got %s\n", c.what, c.want, got)
		good = good && got == c.want
	}
	addresses, err := net.DefaultResolver.LookupHost(context.Background(), "kubernetes.default.svc.cluster.local")
	fmt.Println("DNS", addresses, err)
	return good && err == nil
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "once" {
		if !once() {
			os.Exit(1)
		}
		return
	}
	var mutex sync.Mutex
	counts := map[string]int{}
	go func() {
		for ; ; time.Sleep(time.Second) {
			for _, c := range checks() {
				series := fmt.Sprintf("client_requests_total{what=%q,result=%q}", c.what, c.get())
				mutex.Lock()
				counts[series]++
				mutex.Unlock()
			}
		}
	}()
	http.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		mutex.Lock()
		defer mutex.Unlock()
		lines := make([]string, 0, len(counts))
		for series, count := range counts {
			lines = append(lines, fmt.Sprintf("%s %d\n", series, count))
		}
		sort.Strings(lines)
		_, _ = io.WriteString(w, "# TYPE client_requests_total counter\n"+strings.Join(lines, ""))
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}
