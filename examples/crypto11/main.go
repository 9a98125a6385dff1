// An HTTPS server on loopback whose key is in the HSM, by crypto11: one request of its own, then it ends.
package main

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/ThalesGroup/crypto11"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// certify makes a certificate that the key signs itself.
func certify(key crypto.Signer) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotAfter:     time.Now().Add(24 * time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return must(x509.ParseCertificate(der))
}

// serve answers one request over TLS with the key.
func serve(key crypto.Signer, version uint16) {
	certificate := certify(key)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "served with %s\n", certificate.PublicKeyAlgorithm)
	}))
	chain := [][]byte{certificate.Raw}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}}, MaxVersion: version}
	server.StartTLS()
	defer server.Close()

	trusted := x509.NewCertPool()
	trusted.AddCert(certificate)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, ServerName: "localhost"}}}
	answer := must(client.Get(server.URL))
	defer answer.Body.Close()
	must(io.Copy(os.Stdout, answer.Body))
}

func main() {
	pin := string(must(os.ReadFile("signer.pin")))
	token := must(crypto11.Configure(&crypto11.Config{Path: os.Getenv("MODULE"), TokenLabel: "hsm", Pin: pin}))
	defer token.Close()
	for _, label := range os.Args[1:] {
		key := must(token.FindKeyPair(nil, []byte(label)))
		if key == nil {
			log.Fatalf("there is no key with the label %s", label)
		}
		serve(key, tls.VersionTLS12)
		serve(key, tls.VersionTLS13)
	}
}
