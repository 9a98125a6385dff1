// Writes the files of go/. Takes the folder to write to: go run make-go.go FOLDER
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
)

var folder string

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func write(name, label string, der []byte) {
	text := pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
	if err := os.WriteFile(filepath.Join(folder, name+".pem"), text, 0o644); err != nil {
		panic(err)
	}
}

func common(name string, key crypto.Signer) {
	write(name+".pkcs8", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
	write(name+".public", "PUBLIC KEY", must(x509.MarshalPKIXPublicKey(key.Public())))
}

func main() {
	folder = filepath.Join(os.Args[1], "go")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		panic(err)
	}
	curves := map[string]elliptic.Curve{
		"EC_P256": elliptic.P256(), "EC_P384": elliptic.P384(), "EC_P521": elliptic.P521(),
	}
	for name, curve := range curves {
		key := must(ecdsa.GenerateKey(curve, rand.Reader))
		common(name, key)
		write(name+".sec1", "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(key)))
	}
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	common("RSA", key)
	write("RSA.pkcs1", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	common("Curve25519", edwards)
}
