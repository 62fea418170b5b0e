//! The description of an operation in the document. The types of bodies are those of [`wire`](crate::wire).

use utoipa::ToSchema;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ArrayBuilder, Content, HeaderBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
};

use super::events::EVENT_STREAM;
use super::form;
use crate::wire::Problem;

/// A schema with the name that it has among the components.
type Named = (String, RefOr<Schema>);

/// An operation of the document.
pub(super) struct Operation {
    builder: OperationBuilder,
    /// The schemas to which its bodies refer.
    schemas: Vec<Named>,
    for_anyone: bool,
}

/// An operation with its id, which programs use, and a summary in one sentence.
pub(super) fn operation(id: &str, summary: &str) -> Operation {
    let builder = OperationBuilder::new().operation_id(Some(id)).summary(Some(summary));
    let operation = Operation { builder, schemas: Vec::new(), for_anyone: false };
    let mut response = Response::new("What is wrong.");
    response.content.insert("application/problem+json".to_owned(), RefOr::T(reference::<Problem>()));
    operation.with::<Problem>().response("default", response)
}

impl Operation {
    /// A parameter in the path.
    pub(super) fn path(self, name: &str, description: &str, schema: Object) -> Self {
        self.parameter(ParameterIn::Path, name, description, schema)
    }

    /// An optional parameter in the query.
    pub(super) fn query(self, name: &str, description: &str, schema: Object) -> Self {
        self.parameter(ParameterIn::Query, name, description, schema)
    }

    /// A parameter that several operations share.
    pub(super) fn shared(mut self, name: &str) -> Self {
        self.builder = self.builder.parameter_ref(Ref::new(format!("#/components/parameters/{name}")));
        self
    }

    /// The repository as the first parameter in the path.
    pub(super) fn of_repository(self) -> Self {
        let description =
            "The repository. Its slashes may stand as they are, or the whole name is one segment with `%2F`.";
        self.path("name", description, form::repository_name())
    }

    /// The parameters of a list with pages.
    pub(super) fn in_parts(self) -> Self {
        self.shared("limit").shared("cursor")
    }

    /// The request body.
    pub(super) fn takes<T: ToSchema>(mut self) -> Self {
        let body = RequestBodyBuilder::new().required(Some(Required::True));
        let body = body.content("application/json", reference::<T>());
        self.builder = self.builder.request_body(Some(body.build()));
        self.with::<T>()
    }

    /// A response with a body.
    pub(super) fn answers<T: ToSchema>(self, status: u16, description: &str) -> Self {
        self.with::<T>().response(&status.to_string(), json_response(description, reference::<T>()))
    }

    /// A response with a body and the version of what it shows.
    pub(super) fn answers_with_version<T: ToSchema>(self, status: u16, description: &str) -> Self {
        let mut response = json_response(description, reference::<T>());
        let header = HeaderBuilder::new().schema(Some(form::text())).description(Some("For If-Match."));
        response.headers.insert("ETag".to_owned(), RefOr::T(header.build()));
        self.with::<T>().response(&status.to_string(), response)
    }

    /// A response that sends events until its end.
    pub(super) fn answers_events(self, description: &str) -> Self {
        let mut response = Response::new(description);
        let content = Content::new(Some(Schema::Object(form::text())));
        response.content.insert(EVENT_STREAM.to_owned(), RefOr::T(content));
        self.response("200", response)
    }

    /// A response without a body.
    pub(super) fn answers_nothing(self, description: &str) -> Self {
        self.response("204", Response::new(description))
    }

    /// A response with any JSON object.
    pub(super) fn answers_object(self, description: &str) -> Self {
        let schema = Content::new(Some(Schema::Object(Object::with_type(Type::Object))));
        self.response("200", json_response(description, schema))
    }

    /// A response with a [`List`](crate::wire::List), which has this name among the components.
    pub(super) fn lists<T: ToSchema>(mut self, name: &str, description: &str) -> Self {
        let cursor = ObjectBuilder::new()
            .schema_type(SchemaType::Array(vec![Type::String, Type::Null]))
            .description(Some("The cursor of the next page; null at the end."));
        let list = ObjectBuilder::new()
            .property("items", ArrayBuilder::new().items(Ref::from_schema_name(T::name())))
            .property("next_cursor", cursor)
            .required("items")
            .required("next_cursor");
        self.schemas.push((name.to_owned(), list.into()));
        let content = Content::new(Some(Ref::from_schema_name(name)));
        self.with::<T>().response("200", json_response(description, content))
    }

    /// An operation that needs no sign-in.
    pub(super) fn for_anyone(mut self) -> Self {
        self.for_anyone = true;
        self
    }

    /// The operation and the schemas to which it refers. `scope` is the scope that a token needs.
    pub(super) fn build(self, scope: &str) -> (utoipa::openapi::path::Operation, Vec<Named>) {
        let none: [&str; 0] = [];
        let ways = [SecurityRequirement::new("token", [scope]), SecurityRequirement::new("password", none)];
        let ways = if self.for_anyone { Vec::new() } else { ways.to_vec() };
        (self.builder.securities(Some(ways)).build(), self.schemas)
    }

    fn parameter(mut self, place: ParameterIn, name: &str, description: &str, schema: Object) -> Self {
        self.builder = self.builder.parameter(parameter(place, name, description, schema));
        self
    }

    fn response(mut self, status: &str, response: Response) -> Self {
        self.builder = self.builder.response(status, response);
        self
    }

    fn with<T: ToSchema>(mut self) -> Self {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        self
    }
}

/// A parameter. Only those in the path are required.
pub(super) fn parameter(
    place: ParameterIn,
    name: &str,
    description: &str,
    schema: Object,
) -> utoipa::openapi::path::Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(required);
    parameter.description(Some(description)).schema(Some(Schema::Object(schema))).build()
}

fn reference<T: ToSchema>() -> Content {
    Content::new(Some(Ref::from_schema_name(T::name())))
}

fn json_response(description: &str, content: Content) -> Response {
    ResponseBuilder::new().description(description).content("application/json", content).build()
}
