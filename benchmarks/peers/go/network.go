// Servers: a goroutine for each connection; HTTP by net/http, as Go programs have it.
package main

import (
	"fmt"
	"net"
	nethttp "net/http"
)

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	return listener
}

func echo(task) {
	listener := listen()
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer connection.Close()
			buffer := make([]byte, 1024)
			for {
				n, err := connection.Read(buffer)
				if err != nil {
					return
				}
				if _, err := connection.Write(buffer[:n]); err != nil {
					return
				}
			}
		}()
	}
}

func http(task) {
	body := []byte("Hello, World!")
	handler := func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(body)
	}
	panic(nethttp.Serve(listen(), nethttp.HandlerFunc(handler)))
}
